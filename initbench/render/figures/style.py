"""How every figure looks.

One accent colour, grey for context and orange for what needs attention tell apart without colour vision; techniques are
told apart by place and name, never by colour, so that forty are as readable as four.
"""

# Each a colour of its own and used for nothing else: a page replaces them by its own, light or dark.
COLORS = {
    "ink": "#1b1f24",
    "muted": "#5b6570",
    "faint": "#c9d1d9",
    "accent": "#0072b2",
    "warm": "#d55e00",
}
STYLE = {
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["muted"],
    "axes.edgecolor": COLORS["faint"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLORS["faint"],
    "ytick.color": COLORS["faint"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.labelcolor": COLORS["muted"],
    "text.color": COLORS["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    # A text is itself, and no formula.
    "text.parse_math": False,
    "text.usetex": False,
    "svg.hashsalt": "initbench",
}


def short(name: str) -> str:
    """A name that fits."""
    return name if len(name) <= 34 else f"{name[:33]}…"

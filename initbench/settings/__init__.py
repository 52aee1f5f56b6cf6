"""From KEY=VALUE to a typed, frozen request: what can be set, how it is composed, checked and written again."""

"""The reporter: records in, tables out. Imports no torch."""

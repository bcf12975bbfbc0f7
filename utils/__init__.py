"""The template's rooms, and the modules that all of them share."""

"""Picking, writing, scattering, sorting and searching."""

"""Edits of a given sound: plans, masks and blending."""

"""Severity, location, damage type and pixel masks of car damage from photos, judged honestly.

Photos of damaged cars in, answers with honest figures out.
"""

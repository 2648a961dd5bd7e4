"""Inventory, repair and removal of what a store has."""

"""Whole maps held in registers, where a scan has one state."""

"""The papers' printed tables, and why some figures of them cannot be counted again."""

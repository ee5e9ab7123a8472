"""HSM-SSD in four launches, its products with Q and O on tensor cores."""

"""The notification service under fault: one order's life told to it, and the mails that arrive."""

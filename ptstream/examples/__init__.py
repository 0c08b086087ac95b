"""Programs to read and to start from. Each is run by a test; ptstream itself imports none of them."""

"""What functions share: the tables, prices, dropped folders, redelivery, clients."""

"""Modules that functions share: tables, prices, dropped folders, redelivery, clients."""

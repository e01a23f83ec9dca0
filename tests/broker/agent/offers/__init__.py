"""Offers: which queues an agent consumes, and what it takes from them."""

"""Offers: which queues an agent consumes, what it takes from them, and what it gives back."""

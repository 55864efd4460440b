"""Appointments: what they open, who may take part, and what follows when somebody does not come."""

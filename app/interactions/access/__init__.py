"""Questions about consent itself: who would see what, why, whether a Consent is enforced, who saw what."""

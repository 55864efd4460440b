"""Safety of contact: which number is safe, who must not be met, and words that tell nothing."""

"""The closed-loop referral: who may move a Task where, who may receive it, and what travels with it."""

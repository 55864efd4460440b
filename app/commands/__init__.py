"""What the command line does, without its dressing; imported piece by piece, so that it starts quickly.

`databases` (which database, started where needed), `serving`, `registration` (clients and tokens),
`demonstration`, `doctor`. Neighbour above: `app.cli`.
"""

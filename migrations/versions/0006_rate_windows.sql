-- Requests of each client in its present window, over all processes (app/storage/rate_windows.py). Frozen: change
-- by a new migration. Not written ahead: after a crash the count begins anew.
CREATE UNLOGGED TABLE tl.rate_window (
  key text PRIMARY KEY,
  ends timestamptz NOT NULL,
  requests bigint NOT NULL
) WITH (fillfactor = 50);

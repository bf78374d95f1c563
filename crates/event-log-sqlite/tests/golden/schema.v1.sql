-- One row is one commit. The position is the place in the whole log; AUTOINCREMENT never gives one twice.
CREATE TABLE commits (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_kind TEXT    NOT NULL,
    stream_id   TEXT    NOT NULL,
    revision    INTEGER NOT NULL CHECK (revision >= 1),
    branch      TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    commit_id   BLOB    NOT NULL CHECK (length(commit_id) = 16),
    payload     BLOB    NOT NULL,
    UNIQUE (stream_kind, stream_id, revision)
) STRICT;

CREATE TRIGGER commits_are_never_changed BEFORE UPDATE ON commits
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: commits are never changed');
END;

CREATE TRIGGER commits_are_never_removed BEFORE DELETE ON commits
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: commits are never removed');
END;

-- INSERT OR REPLACE removes without asking the trigger above, unless the connection has recursive_triggers on.
CREATE TRIGGER commits_are_never_replaced BEFORE INSERT ON commits
WHEN EXISTS (SELECT 1 FROM commits WHERE position = NEW.position)
  OR EXISTS (
    SELECT 1 FROM commits
    WHERE stream_kind = NEW.stream_kind AND stream_id = NEW.stream_id AND revision = NEW.revision
  )
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: commits are never replaced');
END;

-- Roles of the zoo. Idempotent; run as a superuser in any database of the cluster, before zoo.sql.
-- Plain SQL, one multi-statement string. Nobody can log in as any of them.
DO $zoo$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'zoo_owner') THEN
    CREATE ROLE zoo_owner NOLOGIN;
  END IF;
END
$zoo$;
DO $zoo$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'zoo_reader') THEN
    CREATE ROLE zoo_reader NOLOGIN;
  END IF;
END
$zoo$;
DO $zoo$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'zoo "odd" role') THEN
    CREATE ROLE "zoo ""odd"" role" NOLOGIN;
  END IF;
END
$zoo$;
COMMENT ON ROLE zoo_owner IS 'owns part of the zoo; it''s no superuser and has no BYPASSRLS';
COMMENT ON ROLE "zoo ""odd"" role" IS 'a "name" with spaces and quotes';

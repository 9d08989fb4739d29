-- What stock pg_dump and pg_restore do NOT bring back: for tests of what a tool says then. Not part of the zoo. Load it
-- after zoo.sql (or after roles.sql, in an empty database) in a transaction of its own, on 14 or newer. A restore by
-- pg_restore --exit-on-error stops; without it, the errors below come, and rc is 1. B5 comes back without an error,
-- and yet is not equal.
SELECT pg_catalog.set_config('client_min_messages', 'error', true);
SELECT pg_catalog.set_config('search_path', '', true);
CREATE SCHEMA zoo_breaks;
GRANT USAGE ON SCHEMA zoo_breaks TO zoo_owner;
CREATE TABLE zoo_breaks.lookup (id integer);
INSERT INTO zoo_breaks.lookup VALUES (1), (2), (3);
SELECT pg_catalog.set_config('search_path', 'zoo_breaks', true);

-- B1. A CHECK whose function relies on search_path: its COPY fails ('relation "lookup" does not exist'), the table stays empty.
CREATE FUNCTION zoo_breaks.known(i integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN EXISTS (SELECT FROM lookup l WHERE l.id = i); END$$;
CREATE TABLE zoo_breaks.b1_check (id integer CHECK (zoo_breaks.known(id)));
INSERT INTO zoo_breaks.b1_check VALUES (1), (2);
-- B2. The same in a generated column.
CREATE TABLE zoo_breaks.b2_generated (id integer, g boolean GENERATED ALWAYS AS (zoo_breaks.known(id)) STORED);
INSERT INTO zoo_breaks.b2_generated VALUES (1), (9);
-- B3. A CHECK that reads a table which is loaded later: COPY fails ("violates check constraint"); with pg_restore -j it may not.
CREATE TABLE zoo_breaks.z_loaded_later (id integer);
INSERT INTO zoo_breaks.z_loaded_later VALUES (1), (2);
CREATE FUNCTION zoo_breaks.known_later(i integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN EXISTS (SELECT FROM zoo_breaks.z_loaded_later l WHERE l.id = i); END$$;
CREATE TABLE zoo_breaks.b3_check (id integer CHECK (zoo_breaks.known_later(id)));
INSERT INTO zoo_breaks.b3_check VALUES (1), (2);
-- B4. A materialized view whose owner is under row security: REFRESH fails ("query would be affected by row-level security policy").
CREATE TABLE zoo_breaks.secured (id integer);
INSERT INTO zoo_breaks.secured VALUES (1), (2);
ALTER TABLE zoo_breaks.secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_rows ON zoo_breaks.secured USING (id = 1);
GRANT SELECT ON zoo_breaks.secured TO zoo_owner;
CREATE MATERIALIZED VIEW zoo_breaks.b4_mat AS SELECT id FROM zoo_breaks.secured;
ALTER MATERIALIZED VIEW zoo_breaks.b4_mat OWNER TO zoo_owner;
-- B5. An event trigger without a tag filter: it fires while pg_restore still runs (REFRESH MATERIALIZED VIEW, COMMENT), and its log gains rows (5, after zoo.sql).
CREATE TABLE zoo_breaks.b5_log (tag text);
CREATE FUNCTION zoo_breaks.b5() RETURNS event_trigger LANGUAGE plpgsql SET search_path = '' AS $$BEGIN INSERT INTO zoo_breaks.b5_log VALUES (tg_tag); END$$;
-- B6. A language by pg_catalog's own handler: it is dumped as CREATE LANGUAGE without one ('extension "zoo_breaks_lang" is not available').
CREATE LANGUAGE zoo_breaks_lang HANDLER pg_catalog.plpgsql_call_handler;
DO $zoo$
BEGIN
  IF current_setting('server_version_num')::integer < 170000 THEN
    -- B7. An index expression and B8. a materialized view whose functions rely on search_path (17 and newer refuse to make them).
    EXECUTE $$CREATE TABLE zoo_breaks.b7_index (id integer)$$;
    EXECUTE $$INSERT INTO zoo_breaks.b7_index VALUES (1)$$;
    EXECUTE $$CREATE INDEX b7 ON zoo_breaks.b7_index (zoo_breaks.known(id))$$;
    EXECUTE $$CREATE MATERIALIZED VIEW zoo_breaks.b8_mat AS SELECT zoo_breaks.known(1) AS k$$;
  ELSE
    -- B9. An exclusion constraint on a partitioned table: 'cannot attach index ... definitions do not match' on 17 (17.10); 18 restores it.
    EXECUTE $$CREATE TABLE zoo_breaks.b9 (room int4range, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&)) PARTITION BY RANGE (room)$$;
    EXECUTE $$CREATE TABLE zoo_breaks.b9_1 PARTITION OF zoo_breaks.b9 DEFAULT$$;
    EXECUTE $$INSERT INTO zoo_breaks.b9 VALUES ('[1,2)', '[2024-01-01,2024-02-01)')$$;
  END IF;
  IF current_setting('server_version_num')::integer >= 180000 THEN
    -- B10. A foreign key of a partitioned table, NOT VALID, and a row that breaks it: comes back by pg_restore, but by
    -- pg_restore -j its COPY may fail (seen with 18.6): the constraint does not wait for the partitions' data.
    EXECUTE $$CREATE TABLE zoo_breaks.b10_ref (id integer PRIMARY KEY)$$;
    EXECUTE $$CREATE TABLE zoo_breaks.b10 (id integer, ref integer) PARTITION BY RANGE (id)$$;
    EXECUTE $$CREATE TABLE zoo_breaks.b10_1 PARTITION OF zoo_breaks.b10 DEFAULT$$;
    EXECUTE $$INSERT INTO zoo_breaks.b10 VALUES (1, 99999)$$;
    EXECUTE $$ALTER TABLE zoo_breaks.b10 ADD FOREIGN KEY (ref) REFERENCES zoo_breaks.b10_ref NOT VALID$$;
  END IF;
END
$zoo$;
CREATE EVENT TRIGGER zoo_breaks_b5 ON ddl_command_end EXECUTE FUNCTION zoo_breaks.b5();

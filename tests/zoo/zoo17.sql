-- What 17 added. Load after zoo.sql, in a transaction of its own, on 17 or newer; the same rules hold.
-- (What 15 and 16 added stands in zoo.sql, by version.)
SELECT pg_catalog.set_config('client_min_messages', 'error', true);
SELECT pg_catalog.set_config('search_path', '', true);
SELECT pg_catalog.set_config('TimeZone', 'UTC', true);

-- rows with enum labels that zoo.sql added (it could not use them itself before 17)
INSERT INTO zoo_data.grown SELECT 10 + i, (enum_range(NULL::zoo_types.grown))[1 + i % 6] FROM generate_series(1, 60) i;

CREATE SCHEMA zoo17;
COMMENT ON SCHEMA zoo17 IS 'new in 17';
CREATE TABLE zoo17.intervals (id integer, iv interval, r interval[]);
INSERT INTO zoo17.intervals VALUES (1, 'infinity', '{infinity,-infinity,NULL,"1 day"}'), (2, '-infinity', NULL), (3, '00:00:00', '{}'), (4, NULL, NULL);

-- a locale that needs neither libc nor ICU
CREATE COLLATION zoo17."Built; ""in""" (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE zoo17.collated (a text COLLATE zoo17."Built; ""in""" PRIMARY KEY, b text COLLATE pg_catalog.pg_c_utf8);
INSERT INTO zoo17.collated SELECT chr(192 + i), chr(223 + i) FROM generate_series(0, 30) i;
CREATE INDEX collated_upper ON zoo17.collated (upper(a), b DESC);

-- identity on a partitioned table; its access method. (Exclusion constraints on partitioned tables, new in 17,
-- stand in zoo18.sql: 17 can make them, but not restore them, "cannot attach index ... definitions do not match".)
CREATE TABLE zoo17.ident (id integer GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 5), t text) PARTITION BY RANGE (id);
CREATE TABLE zoo17.ident_1 PARTITION OF zoo17.ident FOR VALUES FROM (0) TO (500);
CREATE TABLE zoo17.ident_2 (gone integer, t text, id integer NOT NULL);
ALTER TABLE zoo17.ident_2 DROP COLUMN gone;
ALTER TABLE zoo17.ident ATTACH PARTITION zoo17.ident_2 DEFAULT;
INSERT INTO zoo17.ident (t) SELECT 'i' || i FROM generate_series(1, 150) i;
CREATE TABLE zoo17.am (id integer, t text) PARTITION BY LIST (id) USING zoo_heap;
CREATE TABLE zoo17.am_1 PARTITION OF zoo17.am FOR VALUES IN (1);
CREATE TABLE zoo17.am_2 PARTITION OF zoo17.am FOR VALUES IN (2) USING heap;
INSERT INTO zoo17.am SELECT 1 + i % 2, 'a' || i FROM generate_series(1, 40) i;

-- a generated column whose expression was changed
CREATE TABLE zoo17.regenerated (a integer, g integer GENERATED ALWAYS AS (a + 1) STORED);
INSERT INTO zoo17.regenerated (a) SELECT i FROM generate_series(1, 30) i;
ALTER TABLE zoo17.regenerated ALTER COLUMN g SET EXPRESSION AS (a * 3);

CREATE VIEW zoo17.json AS
  SELECT d.id, jt.*, JSON_VALUE(d.b, '$.n' RETURNING integer DEFAULT -1 ON EMPTY ERROR ON ERROR) AS jv, JSON_EXISTS(d.b, 'strict $.a ? (@ > $x)' PASSING 1 AS x FALSE ON ERROR) AS je,
    JSON_QUERY(d.b, '$.*' WITH CONDITIONAL ARRAY WRAPPER KEEP QUOTES EMPTY OBJECT ON ERROR) AS jq, JSON_SERIALIZE(d.b RETURNING bytea) AS js, JSON_SCALAR('it''s "x"') AS sc, JSON('{"a": 1}' WITH UNIQUE KEYS) AS j
  FROM zoo_data.jsons d, JSON_TABLE(d.b, '$[*]' AS "root path" PASSING 1 AS "it's" COLUMNS (n FOR ORDINALITY, "odd ""col""" text PATH '$.a' DEFAULT 'it''s' ON EMPTY, ex boolean EXISTS PATH '$.b', NESTED PATH '$.c[*]' AS nest COLUMNS (c integer PATH '$'))) AS jt;
CREATE VIEW zoo17.local AS SELECT at AT LOCAL AS l, ts AT TIME ZONE 'UTC' AS u FROM (VALUES (timestamptz '2024-01-01 00:00+00', timestamp '2024-01-01')) v(at, ts);
CREATE FUNCTION zoo17.merging(x integer) RETURNS TABLE (what text, id integer) LANGUAGE sql BEGIN ATOMIC
  MERGE INTO zoo17.regenerated r USING (VALUES (x)) v(a) ON r.a = v.a
    WHEN MATCHED AND r.a > 1000 THEN DELETE
    WHEN NOT MATCHED BY TARGET THEN INSERT (a) VALUES (v.a)
    WHEN NOT MATCHED BY SOURCE AND r.a < 0 THEN UPDATE SET a = 0
    RETURNING merge_action(), r.a;
END;

GRANT MAINTAIN ON zoo.customers TO "zoo ""odd"" role" WITH GRANT OPTION;
GRANT MAINTAIN ON zoo_view.mat TO zoo_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo17 GRANT MAINTAIN ON TABLES TO zoo_reader;
ALTER SUBSCRIPTION zoo_sub SET (run_as_owner = true, origin = none, password_required = false, disable_on_error = true);

-- does nothing, but runs at every login and for every REINDEX
CREATE EVENT TRIGGER zoo17_login ON login EXECUTE FUNCTION zoo_evt.nothing();
CREATE EVENT TRIGGER zoo17_reindex ON ddl_command_end WHEN TAG IN ('REINDEX') EXECUTE FUNCTION zoo_evt.nothing();
COMMENT ON EVENT TRIGGER zoo17_login IS 'harmless';

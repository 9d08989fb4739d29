-- What 18 added. Load after zoo.sql and zoo17.sql, in a transaction of its own, on 18 or newer; the same rules hold.
SELECT pg_catalog.set_config('client_min_messages', 'error', true);
SELECT pg_catalog.set_config('search_path', '', true);
SELECT pg_catalog.set_config('TimeZone', 'UTC', true);
CREATE SCHEMA zoo18;
COMMENT ON SCHEMA zoo18 IS 'new in 18';

-- virtual generated columns: first, between, last; nothing else; on partitions; in inheritance; beside stored ones
CREATE TABLE zoo18.virtual (v1 text GENERATED ALWAYS AS (upper(t)) VIRTUAL, gone integer, t text, v2 integer GENERATED ALWAYS AS (n * 2) VIRTUAL NOT NULL, n integer, s integer GENERATED ALWAYS AS (n * 3) STORED, v3 jsonb GENERATED ALWAYS AS ('{"row 1": 1, "k": "it''s"}'::jsonb - t));
ALTER TABLE zoo18.virtual DROP COLUMN gone;
INSERT INTO zoo18.virtual (t, n) SELECT 'row ' || i, i FROM generate_series(1, 100) i;
COMMENT ON COLUMN zoo18.virtual.v2 IS 'a virtual column''s "comment"';
CREATE TABLE zoo18.only_virtual (a integer GENERATED ALWAYS AS (42), "b; ""odd""" text GENERATED ALWAYS AS ('it''s') VIRTUAL);
INSERT INTO zoo18.only_virtual DEFAULT VALUES;
INSERT INTO zoo18.only_virtual DEFAULT VALUES;
INSERT INTO zoo18.only_virtual DEFAULT VALUES;
-- virtual where reading it fails: 1/0 in row 3; a dump must not compute it
CREATE TABLE zoo18.virtual_fails (id integer, n integer, v integer GENERATED ALWAYS AS (100 / n) VIRTUAL);
INSERT INTO zoo18.virtual_fails (id, n) VALUES (1, 1), (2, 2), (3, 0), (4, NULL);
CREATE TABLE zoo18.virtual_part (id integer, n integer, v integer GENERATED ALWAYS AS (id + n) VIRTUAL) PARTITION BY RANGE (id);
CREATE TABLE zoo18.virtual_part_1 PARTITION OF zoo18.virtual_part FOR VALUES FROM (0) TO (50);
CREATE TABLE zoo18.virtual_part_2 (v integer GENERATED ALWAYS AS (id * 1000) VIRTUAL, n integer, id integer);
ALTER TABLE zoo18.virtual_part ATTACH PARTITION zoo18.virtual_part_2 FOR VALUES FROM (50) TO (500);
INSERT INTO zoo18.virtual_part (id, n) SELECT i, -i FROM generate_series(1, 99) i;
CREATE TABLE zoo18.virtual_parent (a integer, v integer GENERATED ALWAYS AS (a + 1) VIRTUAL);
CREATE TABLE zoo18.virtual_child (c integer, v integer GENERATED ALWAYS AS (a + 2) VIRTUAL) INHERITS (zoo18.virtual_parent);
INSERT INTO zoo18.virtual_parent (a) SELECT i FROM generate_series(1, 20) i;
INSERT INTO zoo18.virtual_child (a, c) SELECT i, -i FROM generate_series(1, 20) i;

-- NOT NULL as a constraint: named, commented, not valid with a NULL in the data, not inherited
CREATE TABLE zoo18.not_null (a integer CONSTRAINT "a; isn't ""null""" NOT NULL, b integer, c integer CONSTRAINT alone NOT NULL NO INHERIT, d integer PRIMARY KEY);
COMMENT ON CONSTRAINT "a; isn't ""null""" ON zoo18.not_null IS 'it''s named';
INSERT INTO zoo18.not_null SELECT i, nullif(i, 7), i, i FROM generate_series(1, 20) i;
ALTER TABLE zoo18.not_null ADD CONSTRAINT b_not_valid NOT NULL b NOT VALID;
COMMENT ON CONSTRAINT b_not_valid ON zoo18.not_null IS 'row 7 breaks it';
CREATE TABLE zoo18.not_null_child (e integer) INHERITS (zoo18.not_null);
INSERT INTO zoo18.not_null_child SELECT i, i, NULL, i, i FROM generate_series(1, 10) i;
CREATE TABLE zoo18.not_null_part (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo18.not_null_part_1 PARTITION OF zoo18.not_null_part (CONSTRAINT only_here NOT NULL t) FOR VALUES FROM (0) TO (50);
CREATE TABLE zoo18.not_null_part_2 PARTITION OF zoo18.not_null_part FOR VALUES FROM (50) TO (100);
INSERT INTO zoo18.not_null_part SELECT i, CASE WHEN i <> 60 THEN 'x' END FROM generate_series(1, 99) i;
ALTER TABLE zoo18.not_null_part ADD CONSTRAINT everywhere NOT NULL id;

-- constraints that are not enforced, with rows that break them
CREATE TABLE zoo18.not_enforced (id integer PRIMARY KEY, a integer CONSTRAINT never CHECK (a > 0) NOT ENFORCED, ref integer, CONSTRAINT fk_never FOREIGN KEY (ref) REFERENCES zoo_con.egg (id) NOT ENFORCED);
INSERT INTO zoo18.not_enforced VALUES (1, -1, 99999), (2, 1, 1), (3, NULL, NULL);
COMMENT ON CONSTRAINT fk_never ON zoo18.not_enforced IS 'not enforced';

-- temporal keys: a range as the other part, so that no btree_gist is needed
CREATE TABLE zoo18.temporal (id int4range, valid_at daterange, t text, CONSTRAINT temporal_pk PRIMARY KEY (id, valid_at WITHOUT OVERLAPS));
CREATE TABLE zoo18.temporal_many (id int4range, valid_at datemultirange, UNIQUE (id, valid_at WITHOUT OVERLAPS));
CREATE TABLE zoo18.temporal_ref (id int4range, valid_at daterange, parent int4range, PRIMARY KEY (id, valid_at WITHOUT OVERLAPS), CONSTRAINT temporal_fk FOREIGN KEY (parent, PERIOD valid_at) REFERENCES zoo18.temporal (id, PERIOD valid_at));
INSERT INTO zoo18.temporal SELECT int4range(i, i + 1), daterange(date '2024-01-01' + j * 30, date '2024-01-01' + j * 30 + 30), 't' FROM generate_series(1, 20) i, generate_series(0, 4) j;
INSERT INTO zoo18.temporal_many SELECT int4range(i, i + 1), datemultirange(daterange('2024-01-01', '2024-02-01'), daterange('2024-03-01', NULL)) FROM generate_series(1, 20) i;
-- the period of a child spans several rows of its parent
INSERT INTO zoo18.temporal_ref SELECT int4range(i, i + 1), daterange('2024-01-10', '2024-04-10'), int4range(i, i + 1) FROM generate_series(1, 20) i;
CREATE TABLE zoo18.temporal_part (id int4range, valid_at daterange, PRIMARY KEY (id, valid_at WITHOUT OVERLAPS)) PARTITION BY LIST (id);
CREATE TABLE zoo18.temporal_part_1 PARTITION OF zoo18.temporal_part FOR VALUES IN ('[1,2)', '[2,3)');
CREATE TABLE zoo18.temporal_part_2 PARTITION OF zoo18.temporal_part DEFAULT;
INSERT INTO zoo18.temporal_part SELECT int4range(i, i + 1), daterange('2024-01-01', '2024-02-01') FROM generate_series(1, 20) i;
-- an exclusion constraint over partitions (17 can make it, but not restore it)
CREATE TABLE zoo18.rooms (room int4range, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&)) PARTITION BY RANGE (room);
CREATE TABLE zoo18.rooms_1 PARTITION OF zoo18.rooms FOR VALUES FROM ('[0,1)') TO ('[50,51)');
CREATE TABLE zoo18.rooms_2 PARTITION OF zoo18.rooms DEFAULT;
INSERT INTO zoo18.rooms SELECT int4range(i, i + 1), tsrange('2024-01-01', '2024-02-01') FROM generate_series(1, 80) i;
-- a foreign key of a partitioned table, not valid. (A row that breaks it comes back by pg_restore, but not by
-- pg_restore -j, which makes the constraint before it loads the partition: zoo_breaks.sql.)
CREATE TABLE zoo18.part_fk (id integer, egg integer) PARTITION BY RANGE (id);
CREATE TABLE zoo18.part_fk_1 PARTITION OF zoo18.part_fk FOR VALUES FROM (0) TO (100);
INSERT INTO zoo18.part_fk VALUES (1, 1), (2, NULL);
ALTER TABLE zoo18.part_fk ADD CONSTRAINT part_fk_not_valid FOREIGN KEY (egg) REFERENCES zoo_con.egg (id) NOT VALID;

CREATE TABLE zoo18.misc (id uuid DEFAULT uuidv7() PRIMARY KEY, t text COLLATE pg_catalog.pg_unicode_fast) WITH (vacuum_truncate = false, vacuum_max_eager_freeze_failure_rate = 0.5);
INSERT INTO zoo18.misc SELECT md5(i::text)::uuid, 'Straße ' || i FROM generate_series(1, 30) i;
CREATE INDEX misc_fold ON zoo18.misc (casefold(t));
CREATE INDEX misc_gin ON zoo18.misc USING gin (to_tsvector('pg_catalog.estonian', t));
CREATE VIEW zoo18.news AS SELECT array_sort(ARRAY[3, 1, 2], true) AS a, array_reverse(ARRAY[1, 2]) AS b, crc32c('x') AS c, gamma(5.0) AS d, v2 FROM zoo18.virtual;
CREATE FUNCTION zoo18.old_new(i integer) RETURNS TABLE (was text, is_now text) LANGUAGE sql BEGIN ATOMIC
  UPDATE zoo18.virtual v SET t = v.t || '!' WHERE v.n = i RETURNING WITH (OLD AS o, NEW AS "n w") o.t, "n w".t;
END;
CREATE FOREIGN TABLE zoo18.remote (LIKE zoo18.not_enforced INCLUDING ALL) SERVER zoo_server;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT SELECT ON LARGE OBJECTS TO zoo_reader;
CREATE PUBLICATION zoo18_pub FOR TABLE zoo.generated, zoo_con.hen WITH (publish = 'insert', publish_generated_columns = stored);

-- The zoo: one database that holds whatever a PostgreSQL server (14 to 18) can hold to make a backup
-- tool stumble. Small and deterministic: no clock, no random, no name of the loading role or database.
--
-- How to load: roles.sql first; then this file, as a superuser, in a fresh UTF8 database (template0 or
-- template1), as ONE string through the simple query protocol (an implicit transaction), or by
-- `psql -X -1 -f`. No psql meta-commands, no COPY FROM STDIN, no extension but plpgsql.
-- zoo17.sql (17 and newer), zoo18.sql (18 and newer) and zoo_hard.sql (any) are loaded after it.
--
-- How to get rid of it: DROP DATABASE refuses while the database holds a subscription. First, in it:
--   DROP SUBSCRIPTION zoo_sub; DROP SUBSCRIPTION "zoo sub; ""odd"" $(touch x)";
--
-- Everything in this file comes back by stock pg_dump -Fc + pg_restore --exit-on-error, with an equal
-- pg_dump afterwards. Left out, because it does not (or not in a test's one transaction):
--   * ALTER DATABASE ... SET, COMMENT/GRANT ON DATABASE: only with pg_restore --create;
--   * an event trigger without a tag filter that writes rows: it fires at the REFRESH MATERIALIZED VIEW
--     that pg_restore runs after having made the event triggers, so the log table gains rows;
--   * a materialized view owned by a role under row security on the table it reads: pg_restore sets
--     row_security = off, and the REFRESH as the owner fails;
--   * CHECK constraints that read other tables, functions in CHECK or index expressions that rely on
--     search_path: fail, or fail by order of loading;
--   * hash partitions on an enum, an inheritance child with its own column order, a materialized view
--     with now(): they come back, but not with an equal second dump: see zoo_hard.sql;
--   * invalid indexes by a failed CREATE INDEX CONCURRENTLY, a partition "pending detach": not in one
--     transaction (an invalid *partitioned* index is in); security labels: no provider; tablespaces;
--   * an exclusion constraint on a partitioned table (17 makes it, only 18 restores it): in zoo18.sql;
--   * words that a newer major reserves ("system_user", from 16 on): a dump by pg_dump 15 fails there;
--   * "char" above 0x7f: before 16 its text form is a lone byte, not valid UTF8, even by stock pg_dump.

SELECT pg_catalog.set_config('client_min_messages', 'error', true);
SELECT pg_catalog.set_config('search_path', '', true);
SELECT pg_catalog.set_config('TimeZone', 'UTC', true);
SELECT pg_catalog.set_config('DateStyle', 'ISO, YMD', true);
SELECT pg_catalog.set_config('IntervalStyle', 'postgres', true);

-- ------------------------------------------------------------------------------------------------
-- 1. Schemas
-- ------------------------------------------------------------------------------------------------
CREATE SCHEMA zoo;
CREATE SCHEMA "Zoo";
CREATE SCHEMA "ZOO";
CREATE SCHEMA zoo_types;
CREATE SCHEMA zoo_code;
CREATE SCHEMA zoo_data;
CREATE SCHEMA zoo_seq;
CREATE SCHEMA zoo_part;
CREATE SCHEMA "zoo part 2";
CREATE SCHEMA zoo_inh;
CREATE SCHEMA zoo_con;
CREATE SCHEMA zoo_idx;
CREATE SCHEMA zoo_view;
CREATE SCHEMA zoo_sec AUTHORIZATION zoo_owner;
CREATE SCHEMA zoo_fdw;
CREATE SCHEMA zoo_evt;
CREATE SCHEMA zoo_empty AUTHORIZATION "zoo ""odd"" role";
COMMENT ON SCHEMA zoo IS 'the zoo''s "main" schema
second line
\! id
\.
-- Name: not a TOC entry; Type: TABLE; Schema: -; Owner: -';
COMMENT ON SCHEMA zoo_empty IS 'a schema with nothing in it';
COMMENT ON SCHEMA public IS 'public, with another comment than usual';
GRANT USAGE ON SCHEMA zoo TO zoo_owner, zoo_reader;
GRANT USAGE, CREATE ON SCHEMA zoo_sec TO "zoo ""odd"" role" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA zoo_sec TO PUBLIC;
GRANT USAGE ON SCHEMA public TO zoo_reader WITH GRANT OPTION;

-- ------------------------------------------------------------------------------------------------
-- 2. Types
-- ------------------------------------------------------------------------------------------------
CREATE TYPE zoo_types.mood AS ENUM ('a,b', 'sad', 'so-so', 'it''s "quoted"', 'happy', '\', '\.', 'NULL', 'two
lines', '');
ALTER TYPE zoo_types.mood RENAME VALUE 'sad' TO ' sad ';
COMMENT ON TYPE zoo_types.mood IS 'a "mood"''s comment';
-- added labels: their order is not that of their OIDs. Before 17 they can't be used in the transaction that
-- added them, so only zoo17.sql puts rows with the new ones in
CREATE TYPE zoo_types.grown AS ENUM ('first', 'last');
ALTER TYPE zoo_types.grown ADD VALUE 'mid''dle' AFTER 'first';
ALTER TYPE zoo_types.grown ADD VALUE '"very first"' BEFORE 'first';
ALTER TYPE zoo_types.grown ADD VALUE 'very last \';
ALTER TYPE zoo_types.grown ADD VALUE 'mid' BEFORE 'mid''dle';
COMMENT ON TYPE zoo_types.grown IS 'labels in another order than their OIDs';
CREATE TYPE zoo_types.no_labels AS ENUM ();

CREATE FUNCTION zoo_types.is_even(i integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT i % 2 OPERATOR(pg_catalog.=) 0';
CREATE DOMAIN zoo_types.positive AS integer DEFAULT 1 NOT NULL CONSTRAINT "must be > 0" CHECK (VALUE > 0);
CREATE DOMAIN zoo_types.even_positive AS zoo_types.positive CHECK (zoo_types.is_even(VALUE));
CREATE DOMAIN zoo_types.email AS text COLLATE "C" CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$') CHECK (VALUE <> 'it''s@\');
CREATE DOMAIN zoo_types.small_array AS integer[] CHECK (pg_catalog.array_length(VALUE, 1) < 5);
CREATE DOMAIN zoo_types.old_rule AS text;
COMMENT ON DOMAIN zoo_types.positive IS 'a "domain"';
COMMENT ON CONSTRAINT "must be > 0" ON DOMAIN zoo_types.positive IS 'a constraint''s comment';
ALTER DOMAIN zoo_types.email OWNER TO zoo_owner;
GRANT USAGE ON TYPE zoo_types.email TO zoo_reader;
REVOKE USAGE ON TYPE zoo_types.positive FROM PUBLIC;

CREATE TYPE zoo_types.addr AS (street text, gone integer, zip zoo_types.positive, "City, ""quoted""" text COLLATE "C");
ALTER TYPE zoo_types.addr DROP ATTRIBUTE gone;
ALTER TYPE zoo_types.addr ADD ATTRIBUTE country text;
COMMENT ON TYPE zoo_types.addr IS 'composite, with a dropped attribute';
COMMENT ON COLUMN zoo_types.addr.street IS 'a comment on an attribute''s column';
CREATE TYPE zoo_types.nested AS (a zoo_types.addr, list zoo_types.addr[], m zoo_types.mood);
CREATE TYPE zoo_types.no_attributes AS ();
CREATE DOMAIN zoo_types.addr_domain AS zoo_types.addr CHECK ((VALUE).street IS DISTINCT FROM 'nowhere');

CREATE TYPE zoo_types.float_range AS RANGE (subtype = pg_catalog.float8, subtype_diff = pg_catalog.float8mi, multirange_type_name = zoo_types.floats_many);
CREATE TYPE zoo_types.text_range AS RANGE (subtype = pg_catalog.text, collation = pg_catalog."C");
COMMENT ON TYPE zoo_types.float_range IS 'range';
COMMENT ON TYPE zoo_types.floats_many IS 'multirange';

-- a base type without send/receive (binary COPY fails) and with '|' between array elements
CREATE TYPE zoo_types.label;
CREATE FUNCTION zoo_types.label_in(cstring) RETURNS zoo_types.label LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION zoo_types.label_out(zoo_types.label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE zoo_types.label (INPUT = zoo_types.label_in, OUTPUT = zoo_types.label_out, LIKE = pg_catalog.text, CATEGORY = 'S', DELIMITER = '|', COLLATABLE = true, DEFAULT = 'it''s a \ default');
COMMENT ON TYPE zoo_types.label IS 'a base type';
CREATE CAST (zoo_types.label AS text) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS zoo_types.label) WITHOUT FUNCTION;
COMMENT ON CAST (text AS zoo_types.label) IS 'a cast''s comment';
CREATE CAST (zoo_types.mood AS integer) WITH INOUT;

CREATE COLLATION zoo_types."Odd, coll; ""C""" (provider = libc, locale = 'C');
CREATE COLLATION zoo_types.posix FROM "POSIX";
COMMENT ON COLLATION zoo_types.posix IS 'a collation''s comment';
ALTER COLLATION zoo_types.posix OWNER TO "zoo ""odd"" role";
CREATE CONVERSION zoo_types.latin_again FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION zoo_types.latin_again IS 'a conversion';

-- ------------------------------------------------------------------------------------------------
-- 3. Functions and the like
-- ------------------------------------------------------------------------------------------------
-- Names that catch a tool which queries with a search_path that has public in it and names types other
-- than the built-in function's: they raise. pg_dump empties search_path.
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'zoo: public.format(text,text) called: set search_path to pg_catalog'; END$$;
CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'zoo: public.quote_ident(name) called: set search_path to pg_catalog'; END$$;
CREATE FUNCTION public.pg_get_expr(pg_node_tree, integer) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'zoo: public.pg_get_expr(pg_node_tree,int) called: set search_path to pg_catalog'; END$$;
CREATE FUNCTION public.trap_oid_eq(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'zoo: public.=(oid,regclass) called: set search_path to pg_catalog'; END$$;
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, PROCEDURE = public.trap_oid_eq);
CREATE TABLE public.pg_class (oid_ integer, relname text);
INSERT INTO public.pg_class VALUES (1, 'no relation at all');

CREATE FUNCTION zoo_code.add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF COST 1 RETURN a + b;
CREATE FUNCTION zoo_code.add(a text, b text = 'it''s $$ a \ default') RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a || b; END;
CREATE FUNCTION zoo_code.dollars() RETURNS text LANGUAGE plpgsql AS $pgdump$
/* $$ $_$ $function$ $_X$ and
\! id
\.
*/
BEGIN
  RETURN $$it's "$_$" \ here$$;
END;
$pgdump$;
SELECT pg_catalog.set_config('check_function_bodies', 'off', true);
-- a body that names what does not exist is legal to keep
CREATE FUNCTION zoo_code.broken() RETURNS integer LANGUAGE sql AS 'SELECT no_such_column FROM no_such_table';
SELECT pg_catalog.set_config('check_function_bodies', 'on', true);
CREATE FUNCTION zoo_code.many_out(IN i integer, OUT twice integer, OUT "thri ce" integer, INOUT io text) LANGUAGE plpgsql AS $$BEGIN twice := i * 2; "thri ce" := i * 3; END$$;
CREATE FUNCTION zoo_code.tab(n integer) RETURNS TABLE ("select" integer, "it's" text) LANGUAGE sql STABLE ROWS 7 AS $$SELECT g, g::pg_catalog.text FROM pg_catalog.generate_series(1, n) g$$;
CREATE FUNCTION zoo_code.vari(VARIADIC list text[]) RETURNS integer LANGUAGE sql IMMUTABLE AS $$SELECT pg_catalog.cardinality(list)$$;
CREATE FUNCTION zoo_code.poly(anycompatiblearray, anycompatible) RETURNS anycompatiblearray LANGUAGE sql IMMUTABLE AS $$SELECT pg_catalog.array_append($1, $2)$$;
CREATE FUNCTION zoo_code.with_settings(x text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = zoo, "Zoo", pg_temp SET work_mem = '5MB' SET zoo.custom = 'a "b" \ c' SET DateStyle = 'SQL, DMY' AS $$SELECT x$$;
CREATE FUNCTION zoo_code.win() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE STRICT AS 'window_row_number';
CREATE FUNCTION zoo_code.supported(double precision) RETURNS double precision LANGUAGE internal IMMUTABLE STRICT SUPPORT pg_catalog.textlike_support AS 'dexp';
CREATE PROCEDURE zoo_code.proc(IN a integer, INOUT b text DEFAULT NULL) LANGUAGE plpgsql AS $$BEGIN b := a::pg_catalog.text; END$$;
CREATE PROCEDURE zoo_code.proc_atomic(a integer) LANGUAGE sql BEGIN ATOMIC SELECT a; SELECT a + 1; END;
COMMENT ON FUNCTION zoo_code.add(integer, integer) IS 'adds, it''s "simple"';
COMMENT ON PROCEDURE zoo_code.proc(integer, text) IS 'a procedure';
ALTER FUNCTION zoo_code.with_settings(text) OWNER TO zoo_owner;
ALTER PROCEDURE zoo_code.proc_atomic(integer) OWNER TO "zoo ""odd"" role";
REVOKE EXECUTE ON FUNCTION zoo_code.with_settings(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION zoo_code.with_settings(text) TO "zoo ""odd"" role" WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE zoo_code.proc(integer, text) TO zoo_reader;

-- (with pg_catalog's own handler pg_dump would write a CREATE LANGUAGE without one, which fails)
CREATE FUNCTION zoo_code.lang_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE zoo_lang HANDLER zoo_code.lang_handler;
COMMENT ON LANGUAGE zoo_lang IS 'plpgsql by another name';
GRANT USAGE ON LANGUAGE zoo_lang TO zoo_reader WITH GRANT OPTION;
CREATE FUNCTION zoo_code.in_zoo_lang() RETURNS integer LANGUAGE zoo_lang AS $$BEGIN RETURN 1; END$$;
CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION pg_catalog.prsd_lextype(internal), TO SQL WITH FUNCTION pg_catalog.int4recv(internal));
COMMENT ON TRANSFORM FOR integer LANGUAGE sql IS 'never used';

CREATE FUNCTION zoo_code.addr_eq(zoo_types.addr, zoo_types.addr) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT ($1).street OPERATOR(pg_catalog.=) ($2).street$$;
CREATE FUNCTION zoo_code.addr_ne(zoo_types.addr, zoo_types.addr) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT ($1).street OPERATOR(pg_catalog.<>) ($2).street$$;
CREATE OPERATOR zoo_code.=== (LEFTARG = zoo_types.addr, RIGHTARG = zoo_types.addr, PROCEDURE = zoo_code.addr_eq, COMMUTATOR = OPERATOR(zoo_code.===), NEGATOR = OPERATOR(zoo_code.!==), RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES);
CREATE OPERATOR zoo_code.!== (LEFTARG = zoo_types.addr, RIGHTARG = zoo_types.addr, PROCEDURE = zoo_code.addr_ne, COMMUTATOR = OPERATOR(zoo_code.!==), NEGATOR = OPERATOR(zoo_code.===));
CREATE FUNCTION zoo_code.bang(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$SELECT pg_catalog.int4um($1)$$;
CREATE OPERATOR zoo_code.!!! (RIGHTARG = integer, PROCEDURE = zoo_code.bang);
COMMENT ON OPERATOR zoo_code.=== (zoo_types.addr, zoo_types.addr) IS 'the "same" street';
COMMENT ON OPERATOR zoo_code.!!! (NONE, integer) IS 'prefix';
ALTER OPERATOR zoo_code.!!! (NONE, integer) OWNER TO zoo_owner;

CREATE FUNCTION zoo_code.rev_cmp(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS $$SELECT pg_catalog.btint4cmp($2, $1)$$;
CREATE OPERATOR FAMILY zoo_code.rev_family USING btree;
CREATE OPERATOR CLASS zoo_code.rev_ops FOR TYPE integer USING btree FAMILY zoo_code.rev_family AS
  OPERATOR 1 pg_catalog.> (integer, integer), OPERATOR 2 pg_catalog.>= (integer, integer), OPERATOR 3 pg_catalog.= (integer, integer),
  OPERATOR 4 pg_catalog.<= (integer, integer), OPERATOR 5 pg_catalog.< (integer, integer), FUNCTION 1 zoo_code.rev_cmp(integer, integer);
ALTER OPERATOR FAMILY zoo_code.rev_family USING btree ADD OPERATOR 1 pg_catalog.> (integer, bigint), FUNCTION 1 (integer, bigint) pg_catalog.btint48cmp(integer, bigint);
COMMENT ON OPERATOR CLASS zoo_code.rev_ops USING btree IS 'class';
COMMENT ON OPERATOR FAMILY zoo_code.rev_family USING btree IS 'family';

CREATE FUNCTION zoo_code.sumsq_step(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$SELECT $1 OPERATOR(pg_catalog.+) ($2 OPERATOR(pg_catalog.*) $2)$$;
CREATE FUNCTION zoo_code.sumsq_back(double precision, double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$SELECT $1 OPERATOR(pg_catalog.-) ($2 OPERATOR(pg_catalog.*) $2)$$;
CREATE AGGREGATE zoo_code.sumsq(double precision) (SFUNC = zoo_code.sumsq_step, STYPE = double precision, INITCOND = '0', COMBINEFUNC = pg_catalog.float8pl, PARALLEL = safe,
  MSFUNC = zoo_code.sumsq_step, MINVFUNC = zoo_code.sumsq_back, MSTYPE = double precision, MINITCOND = '0');
CREATE AGGREGATE zoo_code.glue(text) (SFUNC = pg_catalog.textcat, STYPE = text, INITCOND = 'it''s \ "');
CREATE AGGREGATE zoo_code.disc(double precision ORDER BY anyelement) (STYPE = internal, SFUNC = pg_catalog.ordered_set_transition, FINALFUNC = pg_catalog.percentile_disc_final, FINALFUNC_EXTRA);
CREATE AGGREGATE zoo_code.newest(integer) (SFUNC = pg_catalog.int4larger, STYPE = integer, SORTOP = OPERATOR(pg_catalog.>));
COMMENT ON AGGREGATE zoo_code.sumsq(double precision) IS 'an aggregate''s comment';
ALTER AGGREGATE zoo_code.glue(text) OWNER TO zoo_owner;
GRANT EXECUTE ON FUNCTION zoo_code.glue(text) TO "zoo ""odd"" role";

CREATE TEXT SEARCH TEMPLATE zoo_code.templ (INIT = pg_catalog.dsimple_init, LEXIZE = pg_catalog.dsimple_lexize);
CREATE TEXT SEARCH PARSER zoo_code.parser (START = pg_catalog.prsd_start, GETTOKEN = pg_catalog.prsd_nexttoken, END = pg_catalog.prsd_end, LEXTYPES = pg_catalog.prsd_lextype, HEADLINE = pg_catalog.prsd_headline);
CREATE TEXT SEARCH DICTIONARY zoo_code."Dict ""odd""" (TEMPLATE = zoo_code.templ, accept = 'false');
CREATE TEXT SEARCH CONFIGURATION zoo_code.conf (PARSER = zoo_code.parser);
ALTER TEXT SEARCH CONFIGURATION zoo_code.conf ADD MAPPING FOR asciiword, word WITH zoo_code."Dict ""odd""", pg_catalog.simple;
ALTER TEXT SEARCH CONFIGURATION zoo_code.conf ADD MAPPING FOR email, url WITH pg_catalog.simple;
COMMENT ON TEXT SEARCH CONFIGURATION zoo_code.conf IS 'configuration';
COMMENT ON TEXT SEARCH DICTIONARY zoo_code."Dict ""odd""" IS 'dictionary';
COMMENT ON TEXT SEARCH PARSER zoo_code.parser IS 'parser';
COMMENT ON TEXT SEARCH TEMPLATE zoo_code.templ IS 'template';
ALTER TEXT SEARCH CONFIGURATION zoo_code.conf OWNER TO "zoo ""odd"" role";

CREATE ACCESS METHOD zoo_heap TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD zoo_heap IS 'heap by another name';

-- ------------------------------------------------------------------------------------------------
-- 4. Ordinary tables
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo.customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  email zoo_types.email,
  born date,
  score numeric(12,3) DEFAULT 0.000,
  tags text[] DEFAULT '{}',
  doc jsonb,
  mood zoo_types.mood DEFAULT 'so-so',
  home zoo_types.addr,
  created timestamptz DEFAULT now()
);
INSERT INTO zoo.customers (name, email, born, score, tags, doc, mood, home, created)
SELECT 'Customer ' || i || CASE i % 7 WHEN 0 THEN E'\twith tab' WHEN 1 THEN E'\nsecond line' WHEN 2 THEN ' O''Hara' WHEN 3 THEN ' \N' ELSE '' END,
  CASE WHEN i % 11 <> 0 THEN 'c' || i || '@example.org' END,
  date '1950-01-01' + (i * 7919) % 25000,
  ((i * 104729) % 100000)::numeric / 1000,
  CASE WHEN i % 5 = 0 THEN NULL ELSE ARRAY['t' || i % 3, NULL, 'NULL', '', 'a,"b"\{}'] END,
  jsonb_build_object('n', i, 'half', i / 2.0, 'list', jsonb_build_array(i, NULL, 'x')),
  (enum_range(NULL::zoo_types.mood))[1 + i % 10],
  CASE WHEN i % 4 > 0 THEN ROW('Street "' || i || '", ' || i, i, CASE WHEN i % 3 = 0 THEN '' END, NULL)::zoo_types.addr END,
  timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour 0.000001 second'
FROM generate_series(1, 500) i;
CREATE TABLE zoo.orders (
  id serial PRIMARY KEY,
  customer bigint NOT NULL REFERENCES zoo.customers ON DELETE CASCADE ON UPDATE RESTRICT,
  at timestamp NOT NULL,
  note varchar(40),
  code char(8)
);
INSERT INTO zoo.orders (customer, at, note, code)
SELECT 1 + (i * 31) % 500, timestamp '2024-02-29 12:00:00' + i * interval '7 minutes', nullif(repeat('n ', i % 9), ''), to_hex(i)
FROM generate_series(1, 800) i;
CREATE TABLE zoo.items (
  order_id integer REFERENCES zoo.orders,
  line smallint,
  qty zoo_types.positive,
  price numeric(10,2) NOT NULL CHECK (price >= 0),
  total numeric GENERATED ALWAYS AS (qty * price) STORED,
  PRIMARY KEY (order_id, line)
);
INSERT INTO zoo.items (order_id, line, qty, price)
SELECT o, l, 1 + (o * l) % 9, ((o * 37 + l * 101) % 10000) / 100.0 FROM generate_series(1, 800) o, generate_series(1, 1 + o % 3) l;
COMMENT ON TABLE zoo.customers IS 'people''s "data"
with a second line; $(touch x) `id`';
COMMENT ON COLUMN zoo.customers.name IS 'the name''s comment: \\ \n \.';
COMMENT ON CONSTRAINT customers_pkey ON zoo.customers IS 'the key';
COMMENT ON INDEX zoo.customers_pkey IS 'the index of the key';
COMMENT ON SEQUENCE zoo.orders_id_seq IS 'a serial''s sequence';

-- names alike but for case
CREATE TABLE zoo."Customers" (id integer, "ID" integer, "Id" integer);
INSERT INTO zoo."Customers" VALUES (1, 2, 3);
CREATE TABLE "Zoo".customers (x integer);
INSERT INTO "Zoo".customers VALUES (10);
CREATE TABLE "ZOO".customers (x integer);
INSERT INTO "ZOO".customers VALUES (20), (21);

-- zero columns, three rows; and a table without columns or rows
CREATE TABLE zoo.no_columns ();
INSERT INTO zoo.no_columns DEFAULT VALUES;
INSERT INTO zoo.no_columns DEFAULT VALUES;
INSERT INTO zoo.no_columns DEFAULT VALUES;
CREATE TABLE zoo.nothing_at_all ();
CREATE TABLE zoo.all_columns_dropped (a integer, b text);
INSERT INTO zoo.all_columns_dropped VALUES (1, 'x'), (2, 'y');
ALTER TABLE zoo.all_columns_dropped DROP COLUMN a, DROP COLUMN b;
-- only generated columns: COPY moves no column, and yet three rows
CREATE TABLE zoo.only_generated (a integer GENERATED ALWAYS AS (42) STORED, b text GENERATED ALWAYS AS ('x' || 'y') STORED);
INSERT INTO zoo.only_generated DEFAULT VALUES;
INSERT INTO zoo.only_generated DEFAULT VALUES;
INSERT INTO zoo.only_generated DEFAULT VALUES;
CREATE TABLE zoo.empty (id integer PRIMARY KEY, t text);
-- a generated column first, in the middle and last; one by a function; with a dropped column before it
CREATE TABLE zoo.generated (
  g1 text GENERATED ALWAYS AS (upper(t)) STORED,
  gone integer,
  t text,
  g2 integer GENERATED ALWAYS AS (zoo_code.add(n, 5)) STORED,
  n integer,
  g3 zoo_types.mood GENERATED ALWAYS AS (CASE WHEN n > 50 THEN 'happy'::zoo_types.mood ELSE 'a,b'::zoo_types.mood END) STORED
);
ALTER TABLE zoo.generated DROP COLUMN gone;
INSERT INTO zoo.generated (t, n) SELECT 'row ' || i, i FROM generate_series(1, 100) i;
-- dropped columns, columns added with a default ("missing" values that no row holds)
CREATE TABLE zoo.altered (a integer, b text, c integer, d text);
INSERT INTO zoo.altered SELECT i, 'b' || i, -i, 'd' || i FROM generate_series(1, 100) i;
ALTER TABLE zoo.altered DROP COLUMN b;
ALTER TABLE zoo.altered ADD COLUMN e text DEFAULT 'never stored, it''s "missing"';
ALTER TABLE zoo.altered ADD COLUMN f numeric NOT NULL DEFAULT 1.10;
ALTER TABLE zoo.altered ALTER COLUMN f SET DEFAULT 2.20;
ALTER TABLE zoo.altered ADD COLUMN b integer;
INSERT INTO zoo.altered (a, c, d, b) VALUES (101, -101, 'd101', 7);
ALTER TABLE zoo.altered DROP COLUMN c;
-- where the rows lie: leading pages empty, all rows dead, updated rows out of order
CREATE TABLE zoo.leading_gap (id integer, t text);
INSERT INTO zoo.leading_gap SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i;
DELETE FROM zoo.leading_gap WHERE id <= 950;
CREATE TABLE zoo.all_dead (id integer, t text);
INSERT INTO zoo.all_dead SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i;
DELETE FROM zoo.all_dead;
CREATE TABLE zoo.updated (id integer, t text);
INSERT INTO zoo.updated SELECT i, repeat('x', 100) FROM generate_series(1, 400) i;
UPDATE zoo.updated SET t = repeat('y', 100) WHERE id % 3 = 0;
-- rows that are the same, rows that are nearly the same
CREATE TABLE zoo.same_rows (a text, b text);
INSERT INTO zoo.same_rows SELECT 'twice', 'the same' FROM generate_series(1, 2);
INSERT INTO zoo.same_rows SELECT 'many', 'the same' FROM generate_series(1, 256);
INSERT INTO zoo.same_rows SELECT NULL, NULL FROM generate_series(1, 4);
INSERT INTO zoo.same_rows VALUES ('ab', 'c'), ('a', 'bc'), ('a', 'b'), ('b', 'a'), ('', NULL), (NULL, ''), ('', ''), (' ', ''), ('', ' '), ('a' || chr(9) || 'b', 'c'), ('a', 'b' || chr(9) || 'c');
CREATE TABLE zoo.all_null (a integer, b text, c jsonb);
INSERT INTO zoo.all_null SELECT NULL, NULL, NULL FROM generate_series(1, 300);
-- as many columns as a table may have
DO $zoo$
BEGIN
  EXECUTE (SELECT 'CREATE TABLE zoo.widest (' || string_agg('c' || i || ' ' || CASE i % 4 WHEN 0 THEN 'integer' WHEN 1 THEN 'text' WHEN 2 THEN 'boolean' ELSE 'numeric' END, ', ' ORDER BY i) || ')' FROM generate_series(1, 1600) i);
END
$zoo$;
INSERT INTO zoo.widest (c1, c2, c3, c1600) VALUES ('first', true, 1.50, 1600), (NULL, NULL, NULL, NULL), ('', false, 'NaN', -1);
-- storage: unlogged, another access method, typed table, parameters
CREATE UNLOGGED TABLE zoo.unlogged (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, t text);
INSERT INTO zoo.unlogged (t) SELECT 'unlogged ' || i FROM generate_series(1, 200) i;
CREATE TABLE zoo.other_am (id integer PRIMARY KEY, t text) USING zoo_heap;
INSERT INTO zoo.other_am SELECT i, 'am ' || i FROM generate_series(1, 150) i;
CREATE TABLE zoo.typed OF zoo_types.addr (street WITH OPTIONS PRIMARY KEY, country DEFAULT 'ES');
INSERT INTO zoo.typed VALUES ('a', 1, 'A', DEFAULT), ('b', 2, E'B\n\\', NULL);
CREATE TABLE zoo.params (id integer PRIMARY KEY WITH (fillfactor = 55), a text, b text, c integer, d text)
  WITH (fillfactor = 70, autovacuum_enabled = false, autovacuum_vacuum_scale_factor = 0.25, toast.autovacuum_enabled = false, toast_tuple_target = 256, parallel_workers = 3, user_catalog_table = true);
INSERT INTO zoo.params SELECT i, repeat(md5(i::text), 20), repeat(md5(i::text), 20), i, 'd' FROM generate_series(1, 50) i;
ALTER TABLE zoo.params ALTER COLUMN a SET STORAGE EXTERNAL, ALTER COLUMN b SET STORAGE MAIN, ALTER COLUMN c SET STATISTICS 777, ALTER COLUMN d SET STATISTICS 0, ALTER COLUMN c SET (n_distinct = -0.5, n_distinct_inherited = 12), ALTER COLUMN b SET COMPRESSION pglz;
CREATE TABLE zoo.collated (a text COLLATE "C", b text COLLATE zoo_types."Odd, coll; ""C""", c varchar(10) COLLATE "POSIX" DEFAULT ('x' COLLATE "C"), PRIMARY KEY (b));
INSERT INTO zoo.collated SELECT chr(64 + i), chr(96 + i), 'c' FROM generate_series(1, 26) i;
-- strings in expressions
CREATE TABLE zoo.defaults (
  id integer DEFAULT (1 + 2) * 3,
  a text DEFAULT 'it''s "quoted" \ and
\.
\! id
COPY x FROM stdin; -- $$',
  b text DEFAULT E'\t\r\b' CHECK (b <> E'\\.\n' AND b !~ '^\\$'),
  c uuid DEFAULT gen_random_uuid(),
  d timestamptz DEFAULT now(),
  e text DEFAULT CURRENT_USER,
  f zoo_types.mood DEFAULT 'two
lines'
);
INSERT INTO zoo.defaults (c, d, e) VALUES ('00000000-0000-0000-0000-000000000001', '2020-02-02 02:02:02+02', 'nobody');

-- ------------------------------------------------------------------------------------------------
-- 5. Data: every type, the edges of each
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo_data.texts (id integer PRIMARY KEY, what text, t text);
INSERT INTO zoo_data.texts VALUES
 (1, 'NULL', NULL), (2, 'empty', ''), (3, 'the end mark', '\.'), (4, 'the null mark', '\N'), (5, 'one backslash', '\'), (6, 'two', '\\'),
 (7, 'newline', E'\n'), (8, 'newlines', E'\n\n\\.\n\n'), (9, 'CR', E'\r'), (10, 'CRLF', E'a\r\nb\r\n'), (11, 'tab', E'\t'), (12, 'b f v', E'\b\f\v'),
 (13, 'backslash at the end', 'x\'), (14, 'backslash n', 'x\nx'), (15, 'backslash and newline', E'x\\\nx'), (16, 'word', 'NULL'), (17, 'quotes', '''"''""`'),
 (18, 'spaces', '  '), (19, 'trailing space', 'x '), (20, 'meta', E'\n\\! touch x\n\\connect template1\n'), (21, 'restrict', E'\\unrestrict x\n\\restrict x'),
 (22, 'end', E'\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n'), (23, 'shell', '$(touch x) `touch x` ; | > < & * ? ~ ! #'), (24, 'printf', '%s %d %n %%'),
 (25, 'dollar', '$$ $_$ $1 ${x}'), (26, 'copy', E'COPY zoo.x (a) FROM stdin;\n1\n\\.\n'), (27, 'unicode', 'äöü ß € 漢字 🦓 👩‍👩‍👧‍👦'), (28, 'combining', U&'e\0301 \00e9'),
 (29, 'BOM', U&'\FEFFx\FEFF'), (30, 'not characters', U&'\FFFF \FFFE \+10FFFF \FFFD'), (31, 'separators', U&'\0085 \2028 \2029 \00A0 \200B'), (32, 'right to left', U&'\202Eabc\202C שלום'),
 (33, 'NUL as text', '\0 \000 \x00'), (34, 'csv', 'a,"b""c",d'), (35, 'octal', '\134 \056'), (36, 'C1', U&'\0080\009F\007F'), (37, 'percent', '%00%0A'),
 (38, 'html', '<script>alert("&amp;")</script>'), (39, 'json', '{"a": "\u0000"}'), (40, 'escape at the edge', E'\\N\t\\N');
CREATE TABLE zoo_data.grown (id integer, e zoo_types.grown);
INSERT INTO zoo_data.grown VALUES (1, 'last'), (2, 'first'), (3, NULL);
CREATE TABLE zoo_data.one_text (t text);
INSERT INTO zoo_data.one_text VALUES ('\.'), ('\N'), (''), (NULL), ('\\.'), (E'\\.\n'), (E'\n\\.'), ('.'), ('\'), (E'\r'), (E'\n'), (E'\t'), ('\.'), (E'\\.\r');
CREATE TABLE zoo_data.chars (code integer PRIMARY KEY, c text, c1 char(1));
INSERT INTO zoo_data.chars SELECT i, chr(i), chr(i) FROM generate_series(1, 600) i;
INSERT INTO zoo_data.chars SELECT i, chr(i), chr(i) FROM unnest(ARRAY[2047, 2048, 55295, 57344, 65533, 65535, 65536, 128018, 1114111]) i;
CREATE TABLE zoo_data.long_texts (id integer PRIMARY KEY, t text, e text, b bytea);
ALTER TABLE zoo_data.long_texts ALTER COLUMN e SET STORAGE EXTERNAL;
INSERT INTO zoo_data.long_texts SELECT n, repeat('x', n), NULL, NULL FROM unnest(ARRAY[1, 126, 127, 1995, 1996, 1997, 2000, 2030, 2031, 2032, 2033, 8159, 8160, 8191, 8192, 8193, 65535, 65536, 65537]) n;
-- 300 000 characters that do not compress well: out of line
INSERT INTO zoo_data.long_texts SELECT 300000, left(replace(string_agg(encode(sha512(('text' || i)::bytea), 'base64'), '' ORDER BY i), E'\n', ''), 300000), NULL, NULL FROM generate_series(1, 3500) i;
INSERT INTO zoo_data.long_texts SELECT 300001, NULL, repeat(E'0123456789\t\\\n', 10000), NULL;
INSERT INTO zoo_data.long_texts SELECT 300002, NULL, NULL, string_agg(sha512(('bytes' || i)::bytea), ''::bytea ORDER BY i) FROM generate_series(1, 1600) i;
CREATE TABLE zoo_data.bytes (id integer PRIMARY KEY, b bytea);
INSERT INTO zoo_data.bytes SELECT i, decode(lpad(to_hex(i), 2, '0'), 'hex') FROM generate_series(0, 255) i;
INSERT INTO zoo_data.bytes SELECT 1000, string_agg(decode(lpad(to_hex(i), 2, '0'), 'hex'), ''::bytea ORDER BY i) FROM generate_series(0, 255) i;
INSERT INTO zoo_data.bytes VALUES (1001, ''), (1002, NULL), (1003, '\x00'), (1004, '\x5c2e0a'), (1005, '\xfffe'), (1006, decode('5c', 'hex'));
CREATE TABLE zoo_data.chars_fixed (id integer, c char(5), v varchar(5), ch "char", n name);
INSERT INTO zoo_data.chars_fixed VALUES (1, 'a', 'a', 'a', 'a'), (2, 'a   ', 'a   ', ' ', 'a   '), (3, '', '', '', ''), (4, NULL, NULL, NULL, NULL), (5, '     ', '     ', '\', '\.'), (6, 'äöüß€', 'äöüß€', E'\n', '63_bytes_4567890123456789012345678901234567890123456789012345678');
CREATE TABLE zoo_data.numbers (id integer, i2 smallint, i4 integer, i8 bigint, n numeric, n52 numeric(5,2), f4 real, f8 double precision, o oid);
INSERT INTO zoo_data.numbers VALUES
 (1, -32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 'NaN', 'NaN', 0),
 (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 999.99, 'Infinity', 'Infinity', 4294967295),
 (3, 0, 0, 0, '-Infinity', -999.99, '-Infinity', '-Infinity', 1),
 (4, 1, 1, 1, 1.0, 1.0, '-0', '-0', 2), (5, 1, 1, 1, 1.000, 1.000, '0', '0', 2), (6, 1, 1, 1, 1, 1, '1e-45', '4.9406564584124654e-324', 2),
 (7, -1, -1, -1, '-0.000', 0, '3.4028235e38', '1.7976931348623157e308', 3), (8, 1, 1, 1, ('0.' || repeat('0', 300) || '1')::numeric, .005, '1.17549435e-38', '2.2250738585072014e-308', 4),
 (9, 1, 1, 1, (repeat('9', 5000) || '.' || repeat('1', 5000))::numeric, .01, 0.1, 0.1, 5), (10, 1, 1, 1, ('1' || repeat('0', 100000))::numeric, .01, 0.3, 0.30000000000000004, 6),
 (11, 1, 1, 1, 1e-16383, 0, 16777217, 9007199254740993, 7), (12, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (13, 1, 1, 1, 0.1::numeric(1000,500), 1.1, 1e15, 1e15, 8), (14, 1, 1, 1, 1e20, 1.1, 1e20, 1e22, 8);
INSERT INTO zoo_data.numbers (id, f4, f8) SELECT 1000 + i, sin(i)::real, sin(i) * 10 ^ (i % 40 - 20) FROM generate_series(1, 200) i;
CREATE TABLE zoo_data.times (id integer, d date, t time, t3 time(3), ttz timetz, ts timestamp, ts0 timestamp(0), tstz timestamptz, iv interval, ivd interval day to second(2), ivm interval year to month);
INSERT INTO zoo_data.times VALUES
 (1, 'infinity', '24:00:00', '24:00:00', '24:00:00-15:59:59', 'infinity', 'infinity', 'infinity', '178000000 years', '1 day', '1 year'),
 (2, '-infinity', '00:00:00', '00:00:00', '00:00:00+15:59:59', '-infinity', '-infinity', '-infinity', '-178000000 years', '-1 day', '-1 year'),
 (3, '4714-11-24 BC', '23:59:59.999999', '23:59:59.9994', '12:34:56.789012+05:45', '4714-11-24 00:00:00 BC', '0001-12-31 23:59:59 BC', '4714-11-24 00:00:00+00 BC', '-1 mons +2 days -03:04:05.678901', '1 02:03:04.56', '1-2'),
 (4, '5874897-12-31', '12:00:00.000001', '12:00:00.001', '12:00:00-00:30:15', '294276-12-31 23:59:59.999999', '9999-12-31 23:59:59', '294276-12-31 23:59:59.999999+00', '00:00:00', '0', '0'),
 (5, '2000-02-29', '01:02:03', '01:02:03', '01:02:03Z', '2024-03-31 02:30:00', '2024-10-27 02:30:00', '2024-10-27 02:30:00+02', '1 year -1 day', '-00:00:00.01', '-0-1'),
 (6, '0001-01-01', '00:00:00.1', '00:00:00.1', '00:00:00.1+00', '1900-01-01 00:00:00', '1900-01-01 00:00:00', '1883-11-18 12:03:57-04:56:02', '-00:00:00.000001', '0', '0'),
 (7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (8, '1582-10-10', '10:00', '10:00', '10:00+01', '2038-01-19 03:14:08', '1969-12-31 23:59:59', '1970-01-01 00:00:00+00', '2147483647 days', '2147483647 days', '12 months');
INSERT INTO zoo_data.times (id, d, ts, tstz, iv) SELECT 100 + i, date '1999-12-25' + i, timestamp '1999-12-31 23:59:59.5' + i * interval '1.000001 s', timestamptz '2024-10-26 23:00:00+00' + i * interval '1 minute', i * interval '-1 month 3 days -2.5 hours' FROM generate_series(1, 200) i;
CREATE TABLE zoo_data.jsons (id integer, j json, b jsonb, p jsonpath);
INSERT INTO zoo_data.jsons VALUES
 (1, '{"b":1, "a" : 2,  "b":3}', '{"b":1, "a" : 2,  "b":3}', '$.a[*] ? (@.b > 1)'), (2, '"\u0000"', '"\u00e9\ud83e\udd93\\u0000"', 'strict $."a b".**{2 to last}'), (3, ' null ', 'null', '$'), (4, NULL, NULL, NULL),
 (5, '[1.0, 1.00, 1e2, -0, 1e400]', '[1.0, 1.00, 1e2, -0, 1e400]', '$[0 to last] ? (@ like_regex "^a\\.b$" flag "i")'), (6, E'{"a":\n\t"\\n\\t\\\\"}', E'{"a":\n\t"\\n\\t\\\\"}', '$.x.datetime()'), (7, '{}', '{"": {"": []}}', '$.""'), (8, '"\\."', '"\\."', '"\\."'),
 (9, (repeat('[', 500) || repeat(']', 500))::json, (repeat('[', 500) || repeat(']', 500))::jsonb, '1 + 2');
INSERT INTO zoo_data.jsons (id, j, b) SELECT 100 + i, json_build_object('k' || i, i, 'z', repeat('é', i)), jsonb_build_object('k' || i, i / 8.0, 'z', repeat('\', i)) FROM generate_series(1, 150) i;
CREATE TABLE zoo_data.arrays (id integer, i integer[], t text[], m integer[][], e zoo_types.mood[], c zoo_types.addr[], l zoo_types.label[], b box[], d zoo_types.small_array, by bytea[], r int4range[]);
INSERT INTO zoo_data.arrays VALUES
 (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
 (2, '{1,NULL,3}', '{NULL,"NULL","",null," "}', '{{1,2},{3,4}}', ARRAY['a,b', '', 'NULL', '\', 'it''s "quoted"']::zoo_types.mood[], ARRAY[ROW('x "y", (z) \', 1, '', NULL)::zoo_types.addr, NULL], ARRAY['a|b', 'a,b', '', 'NULL', '{}']::text[]::zoo_types.label[], '{(1,1),(0,0);(2,2),(1,1)}', '{1,2}', ARRAY['\x00'::bytea, '\x5c', '', NULL], ARRAY['empty', '[1,2)', '(,)']::int4range[]),
 (3, '[-2:0]={7,8,9}', ARRAY[E'\n', E'\t', '\', '\.', '{', '}', ',', '"', '\N', ' x ', 'ä'], '[0:1][5:6]={{1,NULL},{NULL,4}}', NULL, NULL, '[3:4]={x|y}', NULL, NULL, NULL, NULL),
 (4, NULL, NULL, '{{{1},{2}},{{3},{4}}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL), (5, array_fill(7, ARRAY[1000]), array_fill(NULL::text, ARRAY[2, 3]), '{{{{{{1}}}}}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE zoo_data.composites (id integer, a zoo_types.addr, n zoo_types.nested, d zoo_types.addr_domain, o zoo_types.old_rule, c zoo.customers, z zoo_types.no_attributes);
INSERT INTO zoo_data.composites VALUES
 (1, ROW('', 1, NULL, ' '), ROW(ROW('a"b', 2, 'c\d', 'e,f'), ARRAY[ROW('{"x"}', 3, '(', ')')::zoo_types.addr, NULL], 'a,b'), ROW('s', 1, 'c', 'd'), 'fine', NULL, ROW()),
 (2, NULL, ROW(NULL, NULL, NULL), NULL, '', NULL, NULL), (3, ROW(NULL, 5, NULL, NULL), NULL, ROW(NULL, 6, E'\n', E'\t'), 'breaks the rule', (SELECT c FROM zoo.customers c WHERE id = 1), NULL);
ALTER DOMAIN zoo_types.old_rule ADD CONSTRAINT "not valid, and broken" CHECK (VALUE <> 'breaks the rule') NOT VALID;
CREATE TABLE zoo_data.ranges (id integer, i4 int4range, i8 int8range, n numrange, ts tsrange, tstz tstzrange, d daterange, f zoo_types.float_range, t zoo_types.text_range, mi int4multirange, mn nummultirange, mts tsmultirange, mf zoo_types.floats_many);
INSERT INTO zoo_data.ranges VALUES
 (1, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}', '{}', '{}'),
 (2, '(,)', '[1,)', '(,1]', '[infinity,infinity]', '[-infinity,infinity)', '[-infinity,infinity]', '[-0,NaN]', '["","a,b")', '{(,1),[5,7),[9,)}', '{[1.0,1.00]}', '{["2020-01-01 00:00:00","2020-01-02 00:00:00")}', '{[1,2],(3,Infinity]}'),
 (3, '[1,5]', '(1,5)', '[1.10,2.200)', '[2020-01-01,)', '(,2020-01-01 00:00+00]', '[2020-01-01,2020-01-31]', '(1e-300,1e300)', zoo_types.text_range('\', '\.', '[]'), NULL, NULL, NULL, NULL),
 (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, zoo_types.text_range('"', 'x)"y', '(]'), NULL, NULL, NULL, NULL);
INSERT INTO zoo_data.ranges (id, i4, n, tstz) SELECT 100 + i, int4range(i, i + i % 7), numrange(i / 3.0, i), tstzrange(timestamptz '2024-01-01 00:00+00' + i * interval '1 day', NULL) FROM generate_series(1, 100) i;
CREATE TABLE zoo_data.others (id integer, u uuid, ip inet, net cidr, m macaddr, m8 macaddr8, b bit(5), vb bit varying, vb3 varbit(3), bo boolean, lsn pg_lsn, ti tid, tsv tsvector, tsq tsquery, l zoo_types.label, nl zoo_types.no_labels, iv int2vector, ov oidvector);
INSERT INTO zoo_data.others VALUES
 (1, '00000000-0000-0000-0000-000000000000', '0.0.0.0/0', '0.0.0.0/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', '00000', '', '', true, '0/0', '(0,0)', '', '', '', NULL, '', ''),
 (2, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '192.168.1.5/24', '192.168.0.0/16', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', '11111', B'101', B'1', false, 'FFFFFFFF/FFFFFFFF', '(4294967295,65535)', '''it''''s'':1A,2B ''a\\b'':3C '' '':16383', '''it''''s'':*A & !( b | c:B ) <-> d <3> e', 'a|b', NULL, '1 2 3', '1 4294967295'),
 (3, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1', '::/0', '08:00:2b:01:02:03', '08:00:2b:ff:fe:01:02:03', '10101', repeat('10', 500)::bit varying, NULL, NULL, '16/B374D848', '(1,2)', to_tsvector('pg_catalog.english', 'The quick brown foxes jumped over the lazy dogs'), to_tsquery('pg_catalog.english', 'fox & !dog'), E'\\.', NULL, NULL, NULL),
 (4, NULL, '::ffff:1.2.3.4/96', '2001:db8::/32', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '''\\.''', NULL, NULL, NULL, NULL, NULL);
INSERT INTO zoo_data.others (id, u, ip, tsv) SELECT 100 + i, md5(i::text)::uuid, '10.0.0.0'::inet + i * 257, to_tsvector('pg_catalog.simple', md5(i::text) || ' ' || i) FROM generate_series(1, 150) i;
CREATE TABLE zoo_data.shapes (id integer, p point, l line, s lseg, b box, pa path, po polygon, c circle);
INSERT INTO zoo_data.shapes VALUES
 (1, '(0,0)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>'), (2, '(-0,0)', '{0.1,0.2,0.3}', '[(1,1),(0,0)]', '(0,0),(1,1)', '((0,0),(1,1))', '((1e-300,1e300))', '<(0.1,0.2),0>'),
 (3, '(NaN,Infinity)', '{1,0,-Infinity}', NULL, '(Infinity,NaN),(-Infinity,0)', '((NaN,1))', '((0.30000000000000004,0.1),(5e-324,-0))', '<(1,2),Infinity>'), (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- ------------------------------------------------------------------------------------------------
-- 6. Sequences
-- ------------------------------------------------------------------------------------------------
CREATE SEQUENCE zoo_seq.never_called;
CREATE SEQUENCE zoo_seq.never_called_start START 42 INCREMENT 7;
CREATE SEQUENCE zoo_seq.set_not_called;
SELECT pg_catalog.setval('zoo_seq.set_not_called', 77, false);
CREATE SEQUENCE zoo_seq.called_once;
SELECT pg_catalog.nextval('zoo_seq.called_once');
CREATE SEQUENCE zoo_seq.near_max;
SELECT pg_catalog.setval('zoo_seq.near_max', 9223372036854775806);
CREATE SEQUENCE zoo_seq.at_max AS smallint;
SELECT pg_catalog.setval('zoo_seq.at_max', 32767);
CREATE SEQUENCE zoo_seq.at_max_next AS integer;
SELECT pg_catalog.setval('zoo_seq.at_max_next', 2147483647, false);
CREATE SEQUENCE zoo_seq.cycled MINVALUE 3 MAXVALUE 5 CYCLE;
SELECT pg_catalog.nextval('zoo_seq.cycled') FROM pg_catalog.generate_series(1, 4);
CREATE SEQUENCE zoo_seq.negative INCREMENT -3 MINVALUE -1000 MAXVALUE -10 START -10 CYCLE;
SELECT pg_catalog.nextval('zoo_seq.negative') FROM pg_catalog.generate_series(1, 5);
CREATE SEQUENCE zoo_seq.near_min INCREMENT BY -1;
SELECT pg_catalog.setval('zoo_seq.near_min', -9223372036854775807);
CREATE SEQUENCE zoo_seq.cached CACHE 20;
SELECT pg_catalog.nextval('zoo_seq.cached');
CREATE SEQUENCE zoo_seq.restarted;
SELECT pg_catalog.nextval('zoo_seq.restarted') FROM pg_catalog.generate_series(1, 9);
ALTER SEQUENCE zoo_seq.restarted RESTART WITH 5;
COMMENT ON SEQUENCE zoo_seq.negative IS 'counts "down"';
ALTER SEQUENCE zoo_seq.cycled OWNER TO zoo_owner;
GRANT USAGE, SELECT ON SEQUENCE zoo_seq.cycled TO zoo_reader;
GRANT UPDATE ON SEQUENCE zoo_seq.cycled TO "zoo ""odd"" role" WITH GRANT OPTION;
CREATE SEQUENCE zoo_seq.shared START 1000;
CREATE TABLE zoo_seq.shares_a (id bigint DEFAULT nextval('zoo_seq.shared'), t text);
CREATE TABLE zoo_seq.shares_b (id bigint DEFAULT nextval('zoo_seq.shared'), t text);
INSERT INTO zoo_seq.shares_a (t) SELECT 'a' FROM generate_series(1, 10);
INSERT INTO zoo_seq.shares_b (t) SELECT 'b' FROM generate_series(1, 10);
ALTER SEQUENCE zoo_seq.shared OWNED BY zoo_seq.shares_b.id;
CREATE SEQUENCE zoo_seq.owned_not_default OWNED BY zoo_seq.shares_a.t;
CREATE TABLE zoo_seq.serials (s smallserial, i serial, b bigserial, t text);
INSERT INTO zoo_seq.serials (t) SELECT 'x' FROM generate_series(1, 120);
DELETE FROM zoo_seq.serials WHERE i > 100;
CREATE TABLE zoo_seq.serial_no_more (id serial, t text);
ALTER TABLE zoo_seq.serial_no_more ALTER COLUMN id DROP DEFAULT;
CREATE TABLE zoo_seq.identities (
  a integer GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME zoo_seq."odd; identity's ""seq""" START WITH 100 INCREMENT BY 10 MAXVALUE 5000 CYCLE),
  t text);
INSERT INTO zoo_seq.identities (t) SELECT 'i' || i FROM generate_series(1, 50) i;
INSERT INTO zoo_seq.identities (a, t) OVERRIDING SYSTEM VALUE VALUES (7, 'by hand');
CREATE TABLE zoo_seq.identity_default (a bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY -1), t text);
INSERT INTO zoo_seq.identity_default (t) SELECT 'd' || i FROM generate_series(1, 50) i;
CREATE TABLE zoo_seq.identity_unused (a smallint GENERATED ALWAYS AS IDENTITY, t text);

-- ------------------------------------------------------------------------------------------------
-- 7. Partitions
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo_part.events (id bigint NOT NULL, at timestamptz NOT NULL, kind text, payload text DEFAULT 'parent''s', up text GENERATED ALWAYS AS (upper(kind)) STORED) PARTITION BY RANGE (at);
CREATE TABLE zoo_part.events_2024q1 PARTITION OF zoo_part.events FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2024-04-01 00:00+00');
CREATE TABLE "zoo part 2"."events; q2" PARTITION OF zoo_part.events (payload DEFAULT 'partition''s', CONSTRAINT own CHECK (id > 0)) FOR VALUES FROM ('2024-04-01 00:00+00') TO ('2024-07-01 00:00+00');
CREATE UNLOGGED TABLE zoo_part.events_2024q3 PARTITION OF zoo_part.events FOR VALUES FROM ('2024-07-01 00:00+00') TO ('2024-10-01 00:00+00') WITH (fillfactor = 60);
CREATE TABLE zoo_part.events_2024q4 PARTITION OF zoo_part.events FOR VALUES FROM ('2024-10-01 00:00+00') TO ('2025-01-01 00:00+00') PARTITION BY LIST (kind);
CREATE TABLE zoo_part.events_2024q4_a PARTITION OF zoo_part.events_2024q4 FOR VALUES IN ('a', 'it''s "a"', '\', NULL);
CREATE TABLE zoo_part.events_2024q4_b PARTITION OF zoo_part.events_2024q4 FOR VALUES IN ('b') PARTITION BY HASH (id);
CREATE TABLE zoo_part.events_2024q4_b0 PARTITION OF zoo_part.events_2024q4_b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE zoo_part.events_2024q4_b1 PARTITION OF zoo_part.events_2024q4_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE zoo_part.events_2024q4_rest PARTITION OF zoo_part.events_2024q4 DEFAULT;
CREATE TABLE zoo_part.events_default PARTITION OF zoo_part.events DEFAULT;
-- attached: other column order, dropped columns before and between
CREATE TABLE zoo_part.events_old (gone1 integer, payload text, up text GENERATED ALWAYS AS (upper(kind)) STORED, kind text, gone2 text, at timestamptz NOT NULL, id bigint NOT NULL);
ALTER TABLE zoo_part.events_old DROP COLUMN gone1;
INSERT INTO zoo_part.events_old (payload, kind, gone2, at, id) SELECT 'old ' || i, 'k' || i % 3, 'gone', timestamptz '2023-01-01 00:00+00' + i * interval '1 day', i FROM generate_series(1, 200) i;
ALTER TABLE zoo_part.events_old DROP COLUMN gone2;
ALTER TABLE zoo_part.events ATTACH PARTITION zoo_part.events_old FOR VALUES FROM (MINVALUE) TO ('2024-01-01 00:00+00');
INSERT INTO zoo_part.events (id, at, kind, payload) SELECT 1000 + i, timestamptz '2024-01-01 00:00+00' + i * interval '15 hours', (ARRAY['a', 'b', 'c', NULL, 'it''s "a"', '\'])[1 + i % 6], repeat('p', i % 50) FROM generate_series(1, 700) i;
CREATE INDEX events_kind ON zoo_part.events (kind) WHERE kind IS NOT NULL;
CREATE INDEX events_2024q1_own ON zoo_part.events_2024q1 (payload);
-- an index of the parent that no partition has: invalid, and dumped
CREATE INDEX events_invalid ON ONLY zoo_part.events (payload, id);
CREATE INDEX events_attached ON ONLY zoo_part.events_2024q4_b (up);
CREATE INDEX "b0's own name" ON zoo_part.events_2024q4_b0 (up);
ALTER INDEX zoo_part.events_attached ATTACH PARTITION zoo_part."b0's own name";
COMMENT ON TABLE zoo_part.events IS 'partitioned';
COMMENT ON TABLE "zoo part 2"."events; q2" IS 'a partition''s comment';
COMMENT ON COLUMN zoo_part.events_old.kind IS 'only here';
COMMENT ON INDEX zoo_part.events_kind IS 'partitioned index';
GRANT SELECT ON zoo_part.events TO zoo_reader;
GRANT INSERT (id, kind) ON zoo_part.events_2024q1 TO "zoo ""odd"" role";
ALTER TABLE zoo_part.events_2024q1 OWNER TO zoo_owner;
ALTER TABLE zoo_part.events_2024q1 ALTER COLUMN payload SET STATISTICS 10;
-- keys: a primary key over sub-partitions, referenced from outside; a partition that brought its own key
CREATE TABLE zoo_part.keyed (id bigint NOT NULL, at date NOT NULL, t text DEFAULT 'x', CONSTRAINT "keyed's key" PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE zoo_part.keyed_1 PARTITION OF zoo_part.keyed FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE zoo_part.keyed_1_0 PARTITION OF zoo_part.keyed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE zoo_part.keyed_1_1 PARTITION OF zoo_part.keyed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE zoo_part.keyed_2 (t text, gone integer, at date NOT NULL, id bigint NOT NULL, CONSTRAINT brought PRIMARY KEY (id, at), CONSTRAINT in_2025 CHECK (at >= '2025-01-01' AND at < '2026-01-01'));
ALTER TABLE zoo_part.keyed_2 DROP COLUMN gone;
INSERT INTO zoo_part.keyed_2 SELECT 'attached', '2025-06-01', i FROM generate_series(1, 50) i;
ALTER TABLE zoo_part.keyed ATTACH PARTITION zoo_part.keyed_2 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO zoo_part.keyed SELECT i, date '2024-01-01' + i, 'k' || i FROM generate_series(1, 300) i;
CREATE TABLE zoo_part.notes (event bigint, at date, note text, FOREIGN KEY (event, at) REFERENCES zoo_part.keyed (id, at) ON DELETE SET NULL);
INSERT INTO zoo_part.notes SELECT id, at, 'note on ' || id FROM zoo_part.keyed WHERE id % 10 = 0;
CREATE TABLE zoo_part.hashed (id integer PRIMARY KEY, parent integer, t text) PARTITION BY HASH (id);
CREATE TABLE zoo_part.hashed0 PARTITION OF zoo_part.hashed FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE zoo_part."hashed; 1" PARTITION OF zoo_part.hashed FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE zoo_part."Hashed2" PARTITION OF zoo_part.hashed FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE zoo_part.hashed3a PARTITION OF zoo_part.hashed FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE zoo_part.hashed3b PARTITION OF zoo_part.hashed FOR VALUES WITH (MODULUS 8, REMAINDER 7);
INSERT INTO zoo_part.hashed SELECT i, nullif(i / 2, 0), 'h' || i FROM generate_series(1, 300) i;
ALTER TABLE zoo_part.hashed ADD CONSTRAINT hashed_tree FOREIGN KEY (parent) REFERENCES zoo_part.hashed (id);
CREATE TABLE zoo_part.hashed_text (t text, n integer) PARTITION BY HASH (t, n);
CREATE TABLE zoo_part.hashed_text0 PARTITION OF zoo_part.hashed_text FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE zoo_part.hashed_text1 PARTITION OF zoo_part.hashed_text FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO zoo_part.hashed_text SELECT CASE WHEN i % 9 > 0 THEN 't' || i END, i FROM generate_series(1, 100) i;
CREATE TABLE zoo_part.listed (country text, name text, m zoo_types.mood) PARTITION BY LIST (country);
CREATE TABLE zoo_part.listed_null PARTITION OF zoo_part.listed FOR VALUES IN (NULL, '');
CREATE TABLE zoo_part.listed_es PARTITION OF zoo_part.listed FOR VALUES IN ('ES', '\.', 'NULL');
CREATE TABLE zoo_part.listed_default PARTITION OF zoo_part.listed DEFAULT;
INSERT INTO zoo_part.listed SELECT (ARRAY['ES', 'FR', NULL, '', '\.', 'NULL'])[1 + i % 6], 'n' || i, 'happy' FROM generate_series(1, 120) i;
CREATE TABLE zoo_part.by_enum (m zoo_types.mood, n integer) PARTITION BY LIST (m);
CREATE TABLE zoo_part.by_enum_odd PARTITION OF zoo_part.by_enum FOR VALUES IN ('it''s "quoted"', 'a,b', 'two
lines');
CREATE TABLE zoo_part.by_enum_rest PARTITION OF zoo_part.by_enum DEFAULT;
INSERT INTO zoo_part.by_enum SELECT (enum_range(NULL::zoo_types.mood))[1 + i % 10], i FROM generate_series(1, 100) i;
CREATE TABLE zoo_part.multi (a integer, b text COLLATE "C", c integer) PARTITION BY RANGE (a, b);
CREATE TABLE zoo_part.multi_1 PARTITION OF zoo_part.multi FOR VALUES FROM (MINVALUE, MINVALUE) TO (50, 'm');
CREATE TABLE zoo_part.multi_2 PARTITION OF zoo_part.multi FOR VALUES FROM (50, 'm') TO (50, MAXVALUE);
CREATE TABLE zoo_part.multi_3 PARTITION OF zoo_part.multi FOR VALUES FROM (50, MAXVALUE) TO (MAXVALUE, MAXVALUE);
INSERT INTO zoo_part.multi SELECT i, chr(97 + i % 26), i FROM generate_series(1, 100) i;
INSERT INTO zoo_part.multi SELECT 50, chr(97 + i % 26), i FROM generate_series(1, 30) i;
CREATE TABLE zoo_part.by_expr (name text, n integer) PARTITION BY RANGE (lower(name) COLLATE "C", (n % 10));
CREATE TABLE zoo_part.by_expr_1 PARTITION OF zoo_part.by_expr FOR VALUES FROM ('a', MINVALUE) TO ('m', 5);
CREATE TABLE zoo_part.by_expr_2 PARTITION OF zoo_part.by_expr DEFAULT;
INSERT INTO zoo_part.by_expr SELECT chr(65 + i % 26) || i, i FROM generate_series(1, 100) i;
CREATE TABLE zoo_part.no_partitions (id integer PRIMARY KEY, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo_part.empty_partitions (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo_part.empty_partitions_1 PARTITION OF zoo_part.empty_partitions FOR VALUES FROM (1) TO (100) PARTITION BY RANGE (t);
CREATE TABLE zoo_part.other_am (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo_part.other_am_1 PARTITION OF zoo_part.other_am FOR VALUES FROM (1) TO (100) USING zoo_heap;
INSERT INTO zoo_part.other_am SELECT i, 'x' FROM generate_series(1, 99) i;
CREATE TABLE zoo_part.detached (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo_part.detached_1 PARTITION OF zoo_part.detached FOR VALUES FROM (1) TO (100);
INSERT INTO zoo_part.detached SELECT i, 'x' FROM generate_series(1, 99) i;
ALTER TABLE zoo_part.detached DETACH PARTITION zoo_part.detached_1;

-- ------------------------------------------------------------------------------------------------
-- 8. Inheritance of the old style, rows everywhere
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo_inh.person (id integer PRIMARY KEY, name text NOT NULL DEFAULT 'nobody', CONSTRAINT named CHECK (name <> ''), CONSTRAINT only_parent CHECK (id < 1000) NO INHERIT);
CREATE TABLE zoo_inh.thing (id integer, price numeric DEFAULT 1, CONSTRAINT cheap CHECK (price < 1e6));
CREATE TABLE zoo_inh.employee (salary numeric, extra text) INHERITS (zoo_inh.person);
CREATE TABLE zoo_inh.manager (level integer, name text DEFAULT 'boss') INHERITS (zoo_inh.employee);
CREATE TABLE zoo_inh.robot (model text) INHERITS (zoo_inh.person, zoo_inh.thing);
CREATE TABLE zoo_inh.clone () INHERITS (zoo_inh.person);
CREATE TABLE zoo_inh.late (id integer NOT NULL, name text NOT NULL, late boolean, CONSTRAINT named CHECK (name <> ''));
ALTER TABLE zoo_inh.late INHERIT zoo_inh.person;
CREATE TABLE zoo_inh.former () INHERITS (zoo_inh.person);
ALTER TABLE zoo_inh.former NO INHERIT zoo_inh.person;
INSERT INTO zoo_inh.person SELECT i, 'person ' || i FROM generate_series(1, 100) i;
INSERT INTO zoo_inh.thing SELECT i, i FROM generate_series(1, 40) i;
INSERT INTO zoo_inh.employee SELECT 100 + i, 'employee ' || i, i * 10, NULL FROM generate_series(1, 60) i;
INSERT INTO zoo_inh.manager SELECT 1100 + i, 'manager ' || i, i * 100, '', i FROM generate_series(1, 30) i;
INSERT INTO zoo_inh.robot SELECT i, 'robot ' || i, i, 'm' FROM generate_series(1, 20) i;
INSERT INTO zoo_inh.clone SELECT i, 'person ' || i FROM generate_series(1, 100) i;
INSERT INTO zoo_inh.late VALUES (5, 'late', true);
INSERT INTO zoo_inh.former VALUES (6, 'former');
ALTER TABLE zoo_inh.employee ALTER COLUMN name SET DEFAULT 'some employee';
ALTER TABLE zoo_inh.manager ADD CONSTRAINT own CHECK (level > 0);
CREATE TABLE zoo_inh.gen_parent (a integer, b integer GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE zoo_inh.gen_child (c integer) INHERITS (zoo_inh.gen_parent);
INSERT INTO zoo_inh.gen_parent (a) SELECT i FROM generate_series(1, 20) i;
INSERT INTO zoo_inh.gen_child (a, c) SELECT i, -i FROM generate_series(1, 20) i;
COMMENT ON TABLE zoo_inh.manager IS 'a grandchild';

-- ------------------------------------------------------------------------------------------------
-- 9. Constraints
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo_con.hen (id integer PRIMARY KEY, egg integer NOT NULL);
CREATE TABLE zoo_con.egg (id integer PRIMARY KEY, hen integer NOT NULL);
INSERT INTO zoo_con.hen SELECT i, 101 - i FROM generate_series(1, 100) i;
INSERT INTO zoo_con.egg SELECT i, 101 - i FROM generate_series(1, 100) i;
ALTER TABLE zoo_con.hen ADD CONSTRAINT hen_from_egg FOREIGN KEY (egg) REFERENCES zoo_con.egg (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE zoo_con.egg ADD CONSTRAINT egg_from_hen FOREIGN KEY (hen) REFERENCES zoo_con.hen (id) ON UPDATE CASCADE ON DELETE SET DEFAULT DEFERRABLE;
CREATE TABLE zoo_con.tree (id integer PRIMARY KEY, parent integer REFERENCES zoo_con.tree MATCH FULL ON DELETE CASCADE, name text);
-- every child lies before its parent in the file
INSERT INTO zoo_con.tree SELECT i, CASE WHEN i < 200 THEN i + 1 END, 'node ' || i FROM generate_series(1, 200) i;
CREATE TABLE zoo_con.self_loop (id integer PRIMARY KEY, me integer NOT NULL REFERENCES zoo_con.self_loop);
INSERT INTO zoo_con.self_loop SELECT i, i FROM generate_series(1, 10) i;
CREATE TABLE zoo_con.broken_rows (id integer PRIMARY KEY, egg integer, t text);
INSERT INTO zoo_con.broken_rows VALUES (1, 1, 'fine'), (2, 99999, 'no such egg'), (3, NULL, 'forbidden');
ALTER TABLE zoo_con.broken_rows ADD CONSTRAINT fk_not_valid FOREIGN KEY (egg) REFERENCES zoo_con.egg (id) NOT VALID;
ALTER TABLE zoo_con.broken_rows ADD CONSTRAINT check_not_valid CHECK (t <> 'forbidden') NOT VALID;
ALTER TABLE zoo_con.broken_rows ADD CONSTRAINT check_valid CHECK (id > 0 AND t IS NOT NULL);
COMMENT ON CONSTRAINT fk_not_valid ON zoo_con.broken_rows IS 'row 2''s "egg" is not there';
CREATE TABLE zoo_con.bookings (id integer, room int4range, during tsrange NOT NULL, place box,
  CONSTRAINT no_overlap EXCLUDE USING gist (room WITH &&, during WITH &&) WHERE (id > 0) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT one_place EXCLUDE USING gist (place WITH &&) WITH (fillfactor = 80),
  CONSTRAINT one_id EXCLUDE USING hash (id WITH =));
INSERT INTO zoo_con.bookings SELECT i, int4range(i % 10, i % 10 + 1), tsrange(timestamp '2024-01-01' + i * interval '1 hour', timestamp '2024-01-01' + (i + 1) * interval '1 hour'), box(point(i * 2, 0), point(i * 2 + 1, 1)) FROM generate_series(1, 100) i;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TABLE zoo_con.uniques (a integer, b integer, c text, d integer, UNIQUE (a) DEFERRABLE INITIALLY IMMEDIATE, CONSTRAINT "b's" UNIQUE (b) INCLUDE (c, d), UNIQUE (c, d));
INSERT INTO zoo_con.uniques SELECT i, i, 'c' || i, i FROM generate_series(1, 50) i;
CREATE UNIQUE INDEX by_index ON zoo_con.uniques (d, a);
ALTER TABLE zoo_con.uniques ADD CONSTRAINT from_index UNIQUE USING INDEX by_index;
CREATE TABLE zoo_con.refers_unique (b integer REFERENCES zoo_con.uniques (b), c text, d integer, FOREIGN KEY (c, d) REFERENCES zoo_con.uniques (c, d) MATCH FULL);
INSERT INTO zoo_con.refers_unique SELECT i, 'c' || i, i FROM generate_series(1, 50) i;
CREATE TABLE zoo_con.checks (a integer CONSTRAINT "a's ""check"";" CHECK (a > 0), b text CHECK (b IN ('x', 'it''s', '\', E'\n')), c zoo_types.email, CHECK (a IS NOT NULL OR b = '$$'), CHECK (zoo_types.is_even(a)));
INSERT INTO zoo_con.checks VALUES (2, 'x', 'a@b'), (4, '\', NULL), (NULL, NULL, NULL);
CREATE TABLE zoo_con.ident_default (id integer PRIMARY KEY, t text);
CREATE TABLE zoo_con.ident_full (id integer, t text);
CREATE TABLE zoo_con.ident_nothing (id integer PRIMARY KEY, t text);
CREATE TABLE zoo_con.ident_index (id integer NOT NULL, t text);
CREATE UNIQUE INDEX "replica id; index" ON zoo_con.ident_index (id);
ALTER TABLE zoo_con.ident_full REPLICA IDENTITY FULL;
ALTER TABLE zoo_con.ident_nothing REPLICA IDENTITY NOTHING;
ALTER TABLE zoo_con.ident_index REPLICA IDENTITY USING INDEX "replica id; index";
INSERT INTO zoo_con.ident_full SELECT i, 'f' FROM generate_series(1, 20) i;

-- ------------------------------------------------------------------------------------------------
-- 10. Indexes and statistics
-- ------------------------------------------------------------------------------------------------
CREATE TABLE zoo_idx.t (id integer PRIMARY KEY, a text, b integer, c jsonb, d tsvector, e int4range, f point, g text[], h timestamptz);
INSERT INTO zoo_idx.t SELECT i, 'a' || i % 50, i % 20, jsonb_build_object('k', i % 10), to_tsvector('pg_catalog.simple', 'w' || i), int4range(i, i + 5), point(i, -i), ARRAY['g' || i % 5], timestamptz '2024-01-01 00:00+00' + i * interval '1 minute' FROM generate_series(1, 400) i;
CREATE INDEX partial ON zoo_idx.t (b) WHERE a <> 'it''s' AND b > 3;
CREATE INDEX expression ON zoo_idx.t (lower(a), (b + 1), (c ->> 'k'));
ALTER INDEX zoo_idx.expression ALTER COLUMN 2 SET STATISTICS 333;
CREATE UNIQUE INDEX covering ON zoo_idx.t (id DESC NULLS LAST, b ASC NULLS FIRST) INCLUDE (a, h) WITH (fillfactor = 66, deduplicate_items = off);
CREATE INDEX by_brin ON zoo_idx.t USING brin (h, b int4_minmax_multi_ops(values_per_range = 16)) WITH (pages_per_range = 4, autosummarize = on);
CREATE INDEX by_bloom ON zoo_idx.t USING brin (a text_bloom_ops(n_distinct_per_range = 50));
CREATE INDEX by_gin ON zoo_idx.t USING gin (c jsonb_path_ops, g) WITH (fastupdate = off, gin_pending_list_limit = 128);
CREATE INDEX by_gin_ts ON zoo_idx.t USING gin (d);
CREATE INDEX by_gist ON zoo_idx.t USING gist (e, d tsvector_ops(siglen = 100)) WITH (buffering = on);
CREATE INDEX by_spgist ON zoo_idx.t USING spgist (f kd_point_ops);
CREATE INDEX by_hash ON zoo_idx.t USING hash (a) WITH (fillfactor = 50);
CREATE INDEX by_own_class ON zoo_idx.t (b zoo_code.rev_ops, a text_pattern_ops);
CREATE INDEX by_collation ON zoo_idx.t (a COLLATE zoo_types."Odd, coll; ""C""" DESC);
CREATE INDEX by_function ON zoo_idx.t (zoo_code.add(b, 7), zoo_code.add(a));
CREATE INDEX "index; ""odd"" it's
\! id" ON zoo_idx.t (h);
ALTER TABLE zoo_idx.t CLUSTER ON covering;
COMMENT ON INDEX zoo_idx.partial IS 'an index''s "comment"';
CREATE STATISTICS zoo_idx.stat_all ON a, b FROM zoo_idx.t;
CREATE STATISTICS zoo_idx.stat_some (ndistinct, mcv) ON id, b, a FROM zoo_idx.t;
CREATE STATISTICS zoo_idx."stat; ""expr""" ON (b % 3), lower(a) FROM zoo_idx.t;
CREATE STATISTICS zoo_idx.stat_one ON (b * 2) FROM zoo_idx.t;
ALTER STATISTICS zoo_idx.stat_some SET STATISTICS 0;
ALTER STATISTICS zoo_idx.stat_all OWNER TO zoo_owner;
COMMENT ON STATISTICS zoo_idx.stat_all IS 'statistics';

-- ------------------------------------------------------------------------------------------------
-- 11. Views, materialized views, rules, triggers
-- ------------------------------------------------------------------------------------------------
CREATE VIEW zoo_view.plain AS SELECT id, name AS "the ""name""", 'it''s
\.
\! id' AS odd FROM zoo.customers;
CREATE VIEW zoo_view.on_plain AS SELECT p.*, 1.0 AS one FROM zoo_view.plain p WHERE id < 100;
CREATE VIEW zoo_view.barrier WITH (security_barrier = true) AS SELECT id, name FROM zoo.customers WHERE id % 2 = 0;
CREATE VIEW zoo_view.checked AS SELECT id, t FROM zoo.empty WHERE id > 0 WITH CASCADED CHECK OPTION;
CREATE VIEW zoo_view.checked_local WITH (check_option = local) AS SELECT id, t FROM zoo_view.checked WHERE id < 1000;
CREATE RECURSIVE VIEW zoo_view.counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 10;
CREATE VIEW zoo_view.by_key AS SELECT c.id, c.name, c.email, count(o.id) AS orders FROM zoo.customers c LEFT JOIN zoo.orders o ON o.customer = c.id GROUP BY c.id;
CREATE VIEW zoo_view.no_columns AS SELECT FROM zoo.customers WHERE id < 3;
CREATE VIEW zoo_view.windows AS SELECT id, sum(qty * price) OVER w AS s, zoo_code.sumsq(qty) OVER (PARTITION BY line ORDER BY order_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM zoo.items JOIN zoo.orders ON id = order_id WINDOW w AS (PARTITION BY customer);
CREATE VIEW zoo_view.all_sorts AS
  WITH x AS MATERIALIZED (SELECT * FROM zoo_con.tree TABLESAMPLE system (50) REPEATABLE (1))
  SELECT x.id, l.*, GROUPING(x.id), x.name COLLATE "C" AS cn, (SELECT count(*) FROM ONLY zoo_inh.person) AS pn, ROW(1, 'a')::text AS r, ARRAY(SELECT 1) AS arr, x::text AS whole
  FROM x, LATERAL zoo_code.tab(2) WITH ORDINALITY AS l("select", "it's", o) WHERE (x.id, 1) IN (VALUES (1, 1), (2, 1)) OR x.name LIKE 'a\%' ESCAPE '!' GROUP BY GROUPING SETS ((x.id, l."select", l."it's", l.o, x.name, x), ()) ORDER BY 1 NULLS FIRST FETCH FIRST 3 ROWS WITH TIES;
CREATE VIEW zoo_view.defaulted AS SELECT id, t FROM zoo.empty;
ALTER VIEW zoo_view.defaulted ALTER COLUMN t SET DEFAULT 'view''s default';
-- a view and a function that need each other
CREATE VIEW zoo_view.loop AS SELECT 1 AS a, NULL::text AS b;
CREATE FUNCTION zoo_view.loop_text(zoo_view.loop) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'a is ' OPERATOR(pg_catalog.||) ($1).a::pg_catalog.text$$;
CREATE OR REPLACE VIEW zoo_view.loop AS SELECT 1 AS a, zoo_view.loop_text(ROW(1, NULL)::zoo_view.loop) AS b;
-- a function whose body hangs on a primary key, and on a table, a view, a type, a sequence
CREATE FUNCTION zoo_view.by_key_atomic(i bigint) RETURNS SETOF text LANGUAGE sql STABLE BEGIN ATOMIC
  SELECT c.name || count(o.id) FROM zoo.customers c LEFT JOIN zoo.orders o ON o.customer = c.id WHERE c.id = i GROUP BY c.id;
END;
CREATE FUNCTION zoo_view.atomic(m zoo_types.mood DEFAULT 'it''s "quoted"', OUT a integer, OUT b text) RETURNS SETOF record LANGUAGE sql BEGIN ATOMIC
  INSERT INTO zoo.empty SELECT 0 AS id, 'x'::text AS t WHERE false;
  SELECT l.a, l.b FROM zoo_view.loop l WHERE m <> 'happy'::zoo_types.mood AND l.a < nextval('zoo_seq.never_called');
END;
COMMENT ON VIEW zoo_view.plain IS 'a view''s "comment"';
COMMENT ON COLUMN zoo_view.plain.odd IS 'a column''s comment';
ALTER VIEW zoo_view.barrier OWNER TO zoo_owner;
GRANT SELECT ON zoo_view.barrier TO "zoo ""odd"" role", PUBLIC;
GRANT SELECT (id) ON zoo_view.plain TO zoo_reader;

CREATE MATERIALIZED VIEW zoo_view.mat WITH (fillfactor = 90) AS SELECT customer, count(*) AS n, sum(id) AS s FROM zoo.orders GROUP BY customer ORDER BY customer;
CREATE UNIQUE INDEX mat_key ON zoo_view.mat (customer);
ALTER MATERIALIZED VIEW zoo_view.mat CLUSTER ON mat_key;
ALTER MATERIALIZED VIEW zoo_view.mat ALTER COLUMN s SET STATISTICS 55;
-- "aaa": its name sorts before what it needs
CREATE MATERIALIZED VIEW zoo_view.aaa_on_mat AS SELECT n, count(*) AS customers, zoo_code.sumsq(s::double precision) AS q FROM zoo_view.mat GROUP BY n ORDER BY n;
CREATE VIEW zoo_view.on_aaa AS SELECT * FROM zoo_view.aaa_on_mat WHERE n > 0;
CREATE MATERIALIZED VIEW zoo_view.aa_on_view AS SELECT count(*) AS c FROM zoo_view.on_aaa;
CREATE MATERIALIZED VIEW zoo_view.mat_by_key AS SELECT c.id, c.name, count(o.id) AS orders FROM zoo.customers c LEFT JOIN zoo.orders o ON o.customer = c.id GROUP BY c.id ORDER BY c.id;
CREATE MATERIALIZED VIEW zoo_view.unpopulated AS SELECT id, name FROM zoo.customers WITH NO DATA;
CREATE UNIQUE INDEX unpopulated_key ON zoo_view.unpopulated (id);
CREATE MATERIALIZED VIEW zoo_view.on_unpopulated AS SELECT count(*) FROM zoo_view.unpopulated WITH NO DATA;
CREATE MATERIALIZED VIEW zoo_view."mat; ""odd"" it's" AS SELECT zoo_code.add(id::integer, 1) AS "select" FROM zoo.customers WHERE id < 20 ORDER BY id;
COMMENT ON MATERIALIZED VIEW zoo_view.mat IS 'a materialized view''s comment';
COMMENT ON COLUMN zoo_view.mat.n IS 'how many';
ALTER MATERIALIZED VIEW zoo_view."mat; ""odd"" it's" OWNER TO "zoo ""odd"" role";
GRANT SELECT ON zoo.customers TO "zoo ""odd"" role";
GRANT USAGE ON SCHEMA zoo, zoo_code TO "zoo ""odd"" role";
GRANT SELECT ON zoo_view.mat TO zoo_reader;

CREATE TABLE zoo_view.ruled (id integer, t text);
CREATE TABLE zoo_view.ruled_log (id integer, t text);
INSERT INTO zoo_view.ruled SELECT i, 'r' || i FROM generate_series(1, 30) i;
CREATE RULE also_log AS ON INSERT TO zoo_view.ruled WHERE new.id > 5 DO ALSO INSERT INTO zoo_view.ruled_log VALUES (new.id, 'it''s logged');
CREATE RULE no_delete AS ON DELETE TO zoo_view.ruled DO INSTEAD NOTHING;
CREATE RULE "rule; ""odd"" it's
\! id" AS ON UPDATE TO zoo_view.ruled DO INSTEAD (INSERT INTO zoo_view.ruled_log VALUES (old.id, new.t); NOTIFY zoo_channel; UPDATE zoo_view.ruled_log SET t = old.t WHERE id = new.id);
CREATE RULE swallow AS ON INSERT TO zoo.empty DO INSTEAD NOTHING;
ALTER TABLE zoo_view.ruled DISABLE RULE no_delete;
ALTER TABLE zoo_view.ruled ENABLE ALWAYS RULE also_log;
COMMENT ON RULE also_log ON zoo_view.ruled IS 'a rule''s comment';
CREATE RULE on_view AS ON INSERT TO zoo_view.plain DO INSTEAD INSERT INTO zoo_view.ruled_log VALUES (new.id, new.odd) RETURNING ruled_log.id::bigint, ''::text, ruled_log.t;

CREATE TABLE zoo_view.triggered (id integer PRIMARY KEY, t text, n integer DEFAULT 0);
CREATE TABLE zoo_view.trigger_log (id integer GENERATED ALWAYS AS IDENTITY, what text, args text);
CREATE FUNCTION zoo_view.on_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  INSERT INTO zoo_view.trigger_log (what, args) VALUES (TG_OP || ' ' || TG_NAME, array_to_string(TG_ARGV, '|'));
  RETURN COALESCE(NEW, OLD);
END$$;
CREATE FUNCTION zoo_view.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'zoo: this trigger must never fire while data are loaded'; END$$;
CREATE FUNCTION zoo_view.spoil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.t := 'spoiled'; RETURN NEW; END$$;
INSERT INTO zoo_view.triggered (id, t) SELECT i, 'before' FROM generate_series(1, 20) i;
CREATE TRIGGER enabled AFTER INSERT OR DELETE ON zoo_view.triggered FOR EACH ROW EXECUTE FUNCTION zoo_view.on_change('it''s', '"', '\', '
\.', '', '$$');
CREATE TRIGGER "always; ""odd"" it's
\! id" BEFORE UPDATE OF t, n ON zoo_view.triggered FOR EACH ROW WHEN (old.t IS DISTINCT FROM new.t AND new.t <> 'it''s') EXECUTE FUNCTION zoo_view.on_change();
CREATE TRIGGER disabled BEFORE INSERT ON zoo_view.triggered FOR EACH ROW EXECUTE FUNCTION zoo_view.refuse();
CREATE TRIGGER replica BEFORE INSERT OR UPDATE ON zoo_view.triggered FOR EACH ROW EXECUTE FUNCTION zoo_view.spoil();
CREATE TRIGGER truncated BEFORE TRUNCATE ON zoo_view.triggered FOR EACH STATEMENT EXECUTE FUNCTION zoo_view.on_change('truncate');
CREATE TRIGGER transition AFTER UPDATE ON zoo_view.triggered REFERENCING OLD TABLE AS "old ""rows""" NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION zoo_view.on_change('transition');
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON zoo_view.triggered FROM zoo_con.egg DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.id > 1000) EXECUTE FUNCTION zoo_view.on_change('deferred');
ALTER TABLE zoo_view.triggered ENABLE ALWAYS TRIGGER "always; ""odd"" it's
\! id", DISABLE TRIGGER disabled, ENABLE REPLICA TRIGGER replica;
COMMENT ON TRIGGER enabled ON zoo_view.triggered IS 'a trigger''s comment';
INSERT INTO zoo_view.triggered (id, t) SELECT i, 'after' FROM generate_series(21, 40) i;
UPDATE zoo_view.triggered SET t = 'changed' WHERE id < 5;
-- data that a trigger which fires always would refuse or spoil, were it loaded after the trigger was made
CREATE TABLE zoo_view.guarded (id integer, t text);
INSERT INTO zoo_view.guarded SELECT i, 'pristine ' || i FROM generate_series(1, 100) i;
CREATE TRIGGER guard BEFORE INSERT ON zoo_view.guarded FOR EACH ROW EXECUTE FUNCTION zoo_view.refuse();
ALTER TABLE zoo_view.guarded ENABLE ALWAYS TRIGGER guard;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON zoo_view.defaulted FOR EACH ROW EXECUTE FUNCTION zoo_view.on_change();
CREATE TRIGGER on_partitioned AFTER INSERT ON zoo_part.hashed FOR EACH ROW EXECUTE FUNCTION zoo_view.on_change('partitioned');
ALTER TABLE zoo_part.hashed0 DISABLE TRIGGER on_partitioned;
ALTER TABLE zoo_part."hashed; 1" ENABLE ALWAYS TRIGGER on_partitioned;
CREATE TRIGGER fk_off AFTER INSERT ON zoo.orders FOR EACH STATEMENT EXECUTE FUNCTION zoo_view.on_change();
ALTER TABLE zoo.orders DISABLE TRIGGER fk_off;

-- ------------------------------------------------------------------------------------------------
-- 12. Rights
-- ------------------------------------------------------------------------------------------------
GRANT SELECT ON zoo.customers TO zoo_owner WITH GRANT OPTION;
GRANT SELECT (id, name), UPDATE (name) ON zoo.customers TO "zoo ""odd"" role" WITH GRANT OPTION;
GRANT INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON zoo.orders TO zoo_reader;
GRANT SELECT ON zoo.items TO PUBLIC;
-- rights given by another than the owner
SET ROLE zoo_owner;
GRANT SELECT ON zoo.customers TO zoo_reader WITH GRANT OPTION;
RESET ROLE;
SET ROLE zoo_reader;
GRANT SELECT ON zoo.customers TO PUBLIC;
RESET ROLE;
-- an owner without rights on his own table; a table whose rights are all taken
CREATE TABLE zoo_sec.not_even_owner (id integer, t text);
INSERT INTO zoo_sec.not_even_owner SELECT i, 's' FROM generate_series(1, 10) i;
ALTER TABLE zoo_sec.not_even_owner OWNER TO zoo_owner;
REVOKE ALL ON zoo_sec.not_even_owner FROM zoo_owner;
CREATE TABLE zoo_sec."odd role's" (id serial, t text);
INSERT INTO zoo_sec."odd role's" (t) SELECT 'o' FROM generate_series(1, 10);
ALTER TABLE zoo_sec."odd role's" OWNER TO "zoo ""odd"" role";
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT SELECT ON TABLES TO zoo_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo_sec GRANT EXECUTE ON FUNCTIONS TO "zoo ""odd"" role";
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo_sec GRANT ALL ON SEQUENCES TO zoo_reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE "zoo ""odd"" role" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "zoo ""odd"" role" REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT USAGE ON SCHEMAS TO PUBLIC;
SET ROLE zoo_owner;
CREATE TABLE zoo_sec.by_default (id integer GENERATED ALWAYS AS IDENTITY, t text);
CREATE SEQUENCE zoo_sec.by_default_seq;
CREATE FUNCTION zoo_sec.by_default() RETURNS integer LANGUAGE sql AS 'SELECT 1';
INSERT INTO zoo_sec.by_default (t) SELECT 'x' FROM generate_series(1, 10);
RESET ROLE;
-- rights on what the system owns
GRANT SELECT ON pg_catalog.pg_file_settings TO zoo_reader;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_reset() TO "zoo ""odd"" role";

CREATE TABLE zoo_sec.rows_hidden (id integer PRIMARY KEY, owner text, secret text);
CREATE TABLE zoo_sec.rows_forced (id integer PRIMARY KEY, owner text, secret text);
INSERT INTO zoo_sec.rows_hidden SELECT i, CASE WHEN i % 2 = 0 THEN 'zoo_owner' ELSE 'zoo_reader' END, md5(i::text) FROM generate_series(1, 100) i;
INSERT INTO zoo_sec.rows_forced SELECT i, CASE WHEN i % 2 = 0 THEN 'zoo_owner' ELSE 'zoo_reader' END, md5(i::text) FROM generate_series(1, 100) i;
CREATE TABLE zoo_sec.policy_but_off (id integer);
INSERT INTO zoo_sec.policy_but_off SELECT i FROM generate_series(1, 10) i;
ALTER TABLE zoo_sec.rows_hidden OWNER TO zoo_owner;
ALTER TABLE zoo_sec.rows_forced OWNER TO zoo_owner;
ALTER TABLE zoo_sec.rows_hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE zoo_sec.rows_forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON zoo_sec.rows_hidden USING (owner = CURRENT_USER) WITH CHECK (owner = CURRENT_USER AND secret <> 'it''s');
CREATE POLICY "policy; ""odd"" it's
\! id" ON zoo_sec.rows_hidden AS RESTRICTIVE FOR SELECT TO zoo_reader, "zoo ""odd"" role" USING (id < 50);
CREATE POLICY nobody ON zoo_sec.rows_forced FOR ALL TO PUBLIC USING (false);
CREATE POLICY unused ON zoo_sec.policy_but_off FOR INSERT WITH CHECK (id IN (SELECT h.id FROM zoo_sec.rows_hidden h));
COMMENT ON POLICY mine ON zoo_sec.rows_hidden IS 'a policy''s comment';
GRANT SELECT ON zoo_sec.rows_hidden, zoo_sec.rows_forced TO zoo_reader;

-- ------------------------------------------------------------------------------------------------
-- 13. Large objects: 20, with fixed numbers
-- ------------------------------------------------------------------------------------------------
SELECT pg_catalog.lo_create(990001);
SELECT pg_catalog.lo_from_bytea(990002, '\x00');
SELECT pg_catalog.lo_from_bytea(990003, pg_catalog.decode(pg_catalog.repeat('0123456789abcdef5c2e', 500), 'hex'));
SELECT pg_catalog.lo_from_bytea(990004, string_agg(sha512(('large' || i)::bytea), ''::bytea ORDER BY i)) FROM pg_catalog.generate_series(1, 4700) i;
-- sparse: a byte, a hole of 200 kB, text
SELECT pg_catalog.lo_from_bytea(990005, 'x');
SELECT pg_catalog.lo_put(990005, 200000, 'the end');
-- nothing but a hole: one zero byte is stored as the last, 100 000 are read
SELECT pg_catalog.lo_create(990006);
SELECT pg_catalog.lo_put(990006, 99999, '\x00');
-- exactly one page of pg_largeobject, one byte less, one more
SELECT pg_catalog.lo_from_bytea(990007, pg_catalog.decode(pg_catalog.repeat('aa', 2048), 'hex'));
SELECT pg_catalog.lo_from_bytea(990008, pg_catalog.decode(pg_catalog.repeat('bb', 2047), 'hex'));
SELECT pg_catalog.lo_from_bytea(990009, pg_catalog.decode(pg_catalog.repeat('cc', 2049), 'hex'));
-- exactly pg_dump's read buffer
SELECT pg_catalog.lo_from_bytea(990010, pg_catalog.decode(pg_catalog.repeat('dd', 16384), 'hex'));
SELECT pg_catalog.lo_from_bytea(990011, pg_catalog.convert_to(E'\\.\n\\! id\n''"$(touch x)', 'UTF8'));
SELECT pg_catalog.lo_from_bytea(990012, (SELECT b FROM zoo_data.bytes WHERE id = 1000));
SELECT pg_catalog.lo_from_bytea((990012 + i)::oid, pg_catalog.convert_to('large object ' || i, 'UTF8')) FROM pg_catalog.generate_series(1, 7) i;
SELECT pg_catalog.lo_from_bytea(4294967294, 'the highest number but one');
COMMENT ON LARGE OBJECT 990003 IS 'it''s a "large" object
\.
\! id';
COMMENT ON LARGE OBJECT 990001 IS 'empty';
ALTER LARGE OBJECT 990003 OWNER TO zoo_owner;
ALTER LARGE OBJECT 990004 OWNER TO "zoo ""odd"" role";
GRANT SELECT ON LARGE OBJECT 990003 TO zoo_reader;
GRANT SELECT, UPDATE ON LARGE OBJECT 990005 TO "zoo ""odd"" role" WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 990012 TO PUBLIC;
REVOKE ALL ON LARGE OBJECT 990003 FROM zoo_owner;
CREATE TABLE zoo_data.large_object_refs (id integer, lo oid);
INSERT INTO zoo_data.large_object_refs SELECT i, 990000 + i FROM generate_series(1, 19) i;

-- ------------------------------------------------------------------------------------------------
-- 14. Foreign data, event triggers
-- ------------------------------------------------------------------------------------------------
CREATE FOREIGN DATA WRAPPER zoo_fdw OPTIONS ("opt ion" 'it''s \ "x"', debug 'true');
CREATE FOREIGN DATA WRAPPER "fdw; ""odd"" it's";
CREATE SERVER zoo_server TYPE 'it''s' VERSION '1.0 "beta"' FOREIGN DATA WRAPPER zoo_fdw OPTIONS (host '127.0.0.1', port '1', password 'zoo-secret-in-server');
CREATE SERVER "server; ""odd"" it's" FOREIGN DATA WRAPPER "fdw; ""odd"" it's";
CREATE USER MAPPING FOR PUBLIC SERVER zoo_server OPTIONS ("user" 'nobody');
CREATE USER MAPPING FOR "zoo ""odd"" role" SERVER zoo_server OPTIONS ("user" 'odd', password 'zoo-secret-in-mapping');
COMMENT ON FOREIGN DATA WRAPPER zoo_fdw IS 'a wrapper without a handler';
COMMENT ON SERVER zoo_server IS 'nothing answers there';
GRANT USAGE ON FOREIGN DATA WRAPPER zoo_fdw TO zoo_owner WITH GRANT OPTION;
GRANT USAGE ON FOREIGN SERVER zoo_server TO zoo_owner, zoo_reader;
ALTER SERVER zoo_server OWNER TO zoo_owner;
CREATE FOREIGN TABLE zoo_fdw.remote (id integer OPTIONS (column_name 'ID''s') NOT NULL, t text COLLATE "C" DEFAULT 'x', g integer GENERATED ALWAYS AS (id * 2) STORED, CHECK (id > 0)) SERVER zoo_server OPTIONS (table_name 'odd "name"', schema_name '\.');
CREATE FOREIGN TABLE zoo_fdw."remote; ""odd"" it's" (id integer) SERVER "server; ""odd"" it's";
ALTER FOREIGN TABLE zoo_fdw.remote ALTER COLUMN t SET STATISTICS 9;
COMMENT ON FOREIGN TABLE zoo_fdw.remote IS 'reading it fails';
COMMENT ON COLUMN zoo_fdw.remote.t IS 'a foreign column';
GRANT SELECT (id) ON zoo_fdw.remote TO zoo_reader;
-- reading through the parent fails, reading the leaves that are here does not
CREATE TABLE zoo_fdw.half_remote (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE zoo_fdw.half_here PARTITION OF zoo_fdw.half_remote FOR VALUES FROM (1) TO (100);
CREATE FOREIGN TABLE zoo_fdw.half_there PARTITION OF zoo_fdw.half_remote FOR VALUES FROM (100) TO (200) SERVER zoo_server;
INSERT INTO zoo_fdw.half_remote SELECT i, 'here ' || i FROM generate_series(1, 99) i;
CREATE TABLE zoo_fdw.parent_here (id integer, t text);
CREATE FOREIGN TABLE zoo_fdw.child_there (more text) INHERITS (zoo_fdw.parent_here) SERVER zoo_server;
INSERT INTO zoo_fdw.parent_here SELECT i, 'here' FROM generate_series(1, 20) i;
CREATE VIEW zoo_fdw.on_remote AS SELECT * FROM zoo_fdw.remote;
CREATE MATERIALIZED VIEW zoo_fdw.mat_remote AS SELECT * FROM zoo_fdw.remote WITH NO DATA;
CREATE TRIGGER on_remote BEFORE INSERT ON zoo_fdw.remote FOR EACH ROW EXECUTE FUNCTION zoo_view.on_change();

-- They write one row for a table that is made in or dropped from zoo_evt, and nothing else.
CREATE TABLE zoo_evt.log (id integer GENERATED BY DEFAULT AS IDENTITY, tag text, what text);
CREATE FUNCTION zoo_evt.on_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  INSERT INTO zoo_evt.log (tag, what) SELECT c.command_tag, c.object_identity FROM pg_event_trigger_ddl_commands() c WHERE c.schema_name = 'zoo_evt' AND c.object_type = 'table';
END$$;
CREATE FUNCTION zoo_evt.on_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  INSERT INTO zoo_evt.log (tag, what) SELECT tg_tag, d.object_identity FROM pg_event_trigger_dropped_objects() d WHERE d.schema_name = 'zoo_evt' AND d.object_type = 'table';
END$$;
CREATE FUNCTION zoo_evt.nothing() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RETURN; END$$;
CREATE EVENT TRIGGER zoo_evt_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS') EXECUTE FUNCTION zoo_evt.on_ddl();
CREATE EVENT TRIGGER zoo_evt_drop ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION zoo_evt.on_drop();
CREATE EVENT TRIGGER "event; ""odd"" it's" ON ddl_command_start EXECUTE FUNCTION zoo_evt.nothing();
CREATE EVENT TRIGGER zoo_evt_rewrite ON table_rewrite EXECUTE FUNCTION zoo_evt.nothing();
ALTER EVENT TRIGGER zoo_evt_rewrite DISABLE;
ALTER EVENT TRIGGER zoo_evt_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER "event; ""odd"" it's" ENABLE REPLICA;
COMMENT ON EVENT TRIGGER zoo_evt_ddl IS 'an event trigger''s comment';
CREATE TABLE zoo_evt.made (id integer);
CREATE TABLE zoo_evt.dropped AS SELECT 1 AS x;
DROP TABLE zoo_evt.dropped;

-- ------------------------------------------------------------------------------------------------
-- 15. Odd names, for everything that has one
-- ------------------------------------------------------------------------------------------------
CREATE SCHEMA zoo_name_table;
CREATE SCHEMA zoo_name_inside;
CREATE SCHEMA zoo_name_type;
CREATE SCHEMA zoo_name_seq;
CREATE SCHEMA zoo_name_func;
CREATE SCHEMA zoo_name_view;
DO $zoo$
DECLARE
  names text[] := ARRAY[
    ' ', '  leading and trailing  ', 'with space', '"', '""', '"quoted"', '''', 'it''s', '\', '\\', '\.', '\N', '\n', 'back\slash', ';', 'semi;colon', 'a; DROP TABLE zoo.empty; --',
    '$(touch x)', '`touch x`', '| touch x', '&', '> x', '-rf', '--help', '-', '.', '..', '../../x', 'a.b', 'zoo.customers', '"zoo"."customers"', '/etc/passwd', '~', '*', '?', '[a-z]*', '%', '%s%n', '#', '-- comment', '/* comment */', '*/', '$$', '$1', '$_$', ':x', ':''x''', '@', '=', 'a=b', ',', '(a, b)', '{a,b}', '(', ')', '[', '!', 'U&"\0041"', 'E''x''',
    'select', 'user', 'table', 'copy', 'null', 'NULL', 'default', 'all', 'only', 'true', 'from', 'analyze', 'copy from stdin;', 'COPY x FROM stdin', 'stdin', 'public', 'pg_catalog', 'pg_toast', 'information_schema', 'template1', 'postgres',
    'case', 'Case', 'CASE', 'cASE', '0', '123', '1e5', 'a1', 'postgres://u:p@h/d', 'host=x dbname=y',
    E'line\nfeed', E'line\n\\! id', E'line\n\\! touch x\n', E'\n', E'line\r', E'line\r\n\\! id', E'tab\t', E'bell\a\b\f\v', E'\x1b[31mred\x1b[0m', E'\x7f', E'nl\n--\nSELECT 1;',
    'äöü', 'ÄÖÜ', U&'caf\00e9', U&'cafe\0301', '漢字', '🦓', U&'zero\200bwidth', U&'\202Eright to left', U&'\FEFFbom', U&'nbsp\00a0', U&'\2028', 'ß', 'ı', 'İ',
    'exactly_63_bytes_90123456789012345678901234567890123456789012_a', 'exactly_63_bytes_90123456789012345678901234567890123456789012_b', 'EXACTLY_63_bytes_90123456789012345678901234567890123456789012_b',
    repeat('漢', 21), repeat('é', 31) || 'x', repeat('🦓', 15) || 'abc', repeat('"', 63), repeat('''', 63), repeat('\', 63), repeat(' ', 63), repeat('.', 63)];
  n text;
  i integer := 0;
BEGIN
  FOREACH n IN ARRAY names LOOP
    i := i + 1;
    IF octet_length(n) > 63 THEN
      RAISE 'zoo: name % is too long', n;
    END IF;
    -- a table, and its column, of that name; rows that hold the name
    EXECUTE pg_catalog.format('CREATE TABLE zoo_name_table.%1$I (%1$I text DEFAULT %1$L, value integer, CHECK (%1$I <> %1$L || %1$L))', n);
    EXECUTE pg_catalog.format('INSERT INTO zoo_name_table.%1$I (value) VALUES (%2$s)', n, i);
    EXECUTE pg_catalog.format('INSERT INTO zoo_name_table.%1$I VALUES (NULL, 1), (%1$L || %1$L || 1, 2), (%1$L || 2, 3)', n);
    EXECUTE pg_catalog.format('COMMENT ON TABLE zoo_name_table.%1$I IS %1$L', n);
    EXECUTE pg_catalog.format('COMMENT ON COLUMN zoo_name_table.%1$I.%1$I IS %1$L', n);
    EXECUTE pg_catalog.format('GRANT SELECT (%1$I) ON zoo_name_table.%1$I TO zoo_reader', n);
    -- a type, a sequence, a function with an argument, a view of that name
    EXECUTE pg_catalog.format('CREATE TYPE zoo_name_type.%1$I AS ENUM (%1$L, ''x y z'')', n);
    EXECUTE pg_catalog.format('COMMENT ON TYPE zoo_name_type.%1$I IS %1$L', n);
    EXECUTE pg_catalog.format('CREATE SEQUENCE zoo_name_seq.%1$I START %2$s', n, i);
    IF i % 2 = 0 THEN
      PERFORM nextval(pg_catalog.format('zoo_name_seq.%I', n)::regclass);
    END IF;
    EXECUTE pg_catalog.format('CREATE FUNCTION zoo_name_func.%1$I(%1$I zoo_name_type.%1$I DEFAULT %1$L) RETURNS text LANGUAGE sql IMMUTABLE AS %2$L', n, 'SELECT ' || quote_literal(n));
    EXECUTE pg_catalog.format('COMMENT ON FUNCTION zoo_name_func.%1$I(zoo_name_type.%1$I) IS %1$L', n);
    IF i % 4 = 0 THEN
      EXECUTE pg_catalog.format('CREATE VIEW zoo_name_view.%1$I AS SELECT %1$I, %1$I.value FROM zoo_name_table.%1$I', n);
    END IF;
  END LOOP;
  -- index, constraint, trigger, rule, policy, statistics of that name, on one table; its columns too
  EXECUTE (SELECT 'CREATE TABLE zoo_name_inside.t (id integer, ' || string_agg(pg_catalog.format('%I text', u.n), ', ' ORDER BY u.o) || ')' FROM unnest(names) WITH ORDINALITY u(n, o));
  INSERT INTO zoo_name_inside.t SELECT g FROM generate_series(1, 5) g;
  EXECUTE (SELECT 'UPDATE zoo_name_inside.t SET ' || string_agg(pg_catalog.format('%1$I = %1$L || id', u.n), ', ' ORDER BY u.o) || ' WHERE id < 3' FROM unnest(names) WITH ORDINALITY u(n, o));
  FOREACH n IN ARRAY names LOOP
    EXECUTE pg_catalog.format('ALTER TABLE zoo_name_inside.t ADD CONSTRAINT %1$I CHECK (%1$I <> %1$L)', n);
    EXECUTE pg_catalog.format('COMMENT ON CONSTRAINT %1$I ON zoo_name_inside.t IS %1$L', n);
  END LOOP;
  CREATE TABLE zoo_name_inside.u (id integer, v text);
  INSERT INTO zoo_name_inside.u SELECT g, 'v' || g FROM generate_series(1, 5) g;
  i := 0;
  FOREACH n IN ARRAY names LOOP
    i := i + 1;
    EXECUTE CASE i % 6
      WHEN 0 THEN pg_catalog.format('CREATE INDEX %1$I ON zoo_name_inside.u (v) WHERE v <> %1$L', n)
      WHEN 1 THEN pg_catalog.format('CREATE TRIGGER %1$I BEFORE DELETE ON zoo_name_inside.u FOR EACH ROW EXECUTE FUNCTION zoo_view.on_change(%1$L)', n)
      WHEN 2 THEN pg_catalog.format('CREATE RULE %1$I AS ON DELETE TO zoo_name_inside.u WHERE old.v = %1$L DO ALSO INSERT INTO zoo_view.ruled_log VALUES (old.id, %1$L)', n)
      WHEN 3 THEN pg_catalog.format('CREATE POLICY %1$I ON zoo_name_inside.u USING (v = %1$L)', n)
      WHEN 4 THEN pg_catalog.format('CREATE STATISTICS zoo_name_inside.%1$I ON id, (v || %1$L) FROM zoo_name_inside.u', n)
      ELSE pg_catalog.format('ALTER TABLE zoo_name_inside.u ADD CONSTRAINT %1$I UNIQUE (v, id)', n)
    END;
  END LOOP;
  -- schemas of that name, each with a table of that name, an index, a serial and a function
  FOREACH n IN ARRAY ARRAY['"', '''', '\', ';', '$(touch x)', '-rf', 'a.b', 'zoo.customers', E'line\n\\! id', 'select', 'user', 'NULL', 'copy from stdin;', 'Public', 'PUBLIC', '*', '漢字', U&'caf\00e9', U&'cafe\0301', ' ', '\.', '../../x',
      'exactly_63_bytes_90123456789012345678901234567890123456789012_a', 'exactly_63_bytes_90123456789012345678901234567890123456789012_b'] LOOP
    EXECUTE pg_catalog.format('CREATE SCHEMA %I', n);
    EXECUTE pg_catalog.format('COMMENT ON SCHEMA %1$I IS %1$L', n);
    EXECUTE pg_catalog.format('CREATE TABLE %1$I.%1$I (%1$I serial PRIMARY KEY, t text)', n);
    EXECUTE pg_catalog.format('INSERT INTO %1$I.%1$I (t) SELECT %1$L || g FROM generate_series(1, 5) g', n);
    EXECUTE pg_catalog.format('CREATE FUNCTION %1$I.%1$I(%1$I.%1$I) RETURNS integer LANGUAGE sql IMMUTABLE AS %2$L', n, 'SELECT 1');
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %1$I TO "zoo ""odd"" role"', n);
  END LOOP;
END
$zoo$;

-- ------------------------------------------------------------------------------------------------
-- 16. What 15 and 16 added (skipped on older servers)
-- ------------------------------------------------------------------------------------------------
DO $zoo$
BEGIN
  IF current_setting('server_version_num')::integer >= 150000 THEN
    EXECUTE $$CREATE TABLE zoo_con.nulls_same (a integer, b integer, UNIQUE NULLS NOT DISTINCT (a), c numeric(3,-2), d numeric(2,5))$$;
    EXECUTE $$INSERT INTO zoo_con.nulls_same VALUES (NULL, 1, 12345, 0.00012), (1, 2, -99900, 'NaN')$$;
    EXECUTE $$CREATE UNIQUE INDEX nulls_same_idx ON zoo_con.nulls_same (b, a) NULLS NOT DISTINCT$$;
    EXECUTE $$CREATE TABLE zoo_con.set_null_some (a integer, b integer, FOREIGN KEY (a, b) REFERENCES zoo_con.uniques (d, a) ON DELETE SET NULL (b))$$;
    EXECUTE $$CREATE VIEW zoo_view.invoker WITH (security_invoker = true, security_barrier = false) AS SELECT id FROM zoo.customers$$;
    EXECUTE $$CREATE UNLOGGED SEQUENCE zoo_seq.unlogged START 5$$;
    PERFORM nextval('zoo_seq.unlogged');
    EXECUTE $$CREATE FUNCTION zoo_code.merging() RETURNS void LANGUAGE sql AS 'MERGE INTO zoo.updated e USING zoo.customers c ON e.id = c.id WHEN MATCHED THEN DO NOTHING'$$;
  END IF;
  IF current_setting('server_version_num')::integer >= 160000 THEN
    EXECUTE $$CREATE VIEW zoo_view.json16 AS SELECT id, j IS JSON OBJECT WITH UNIQUE KEYS AS o, JSON_OBJECT('k' VALUE id, 'n' VALUE NULL ABSENT ON NULL RETURNING jsonb) AS jo, JSON_ARRAY(1, 'x', id NULL ON NULL) AS ja, (SELECT JSON_ARRAYAGG(x ORDER BY x DESC RETURNING jsonb) FROM generate_series(1, 3) x) AS agg FROM zoo_data.jsons$$;
    EXECUTE $$CREATE FUNCTION zoo_code.system_user16() RETURNS text LANGUAGE sql RETURN COALESCE(SYSTEM_USER, 'none')$$;
    EXECUTE $$CREATE TABLE zoo_con.storage16 (a text STORAGE EXTERNAL, b text COMPRESSION pglz, c text STORAGE PLAIN)$$;
  END IF;
END
$zoo$;

-- ------------------------------------------------------------------------------------------------
-- 17. Publications and subscriptions: last, so that they forbid none of the above
-- ------------------------------------------------------------------------------------------------
CREATE PUBLICATION zoo_pub_all FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE PUBLICATION "zoo pub; ""odd"" it's $(touch x)" FOR TABLE zoo.orders, ONLY zoo_inh.person, zoo_part.hashed, "select"."select" WITH (publish = 'insert, update, delete', publish_via_partition_root = true);
CREATE PUBLICATION zoo_pub_none WITH (publish = '');
COMMENT ON PUBLICATION zoo_pub_all IS 'a publication''s comment';
GRANT CREATE ON SCHEMA zoo_sec TO zoo_owner;
DO $zoo$
BEGIN
  IF current_setting('server_version_num')::integer >= 150000 THEN
    EXECUTE $$CREATE PUBLICATION zoo_pub_some FOR TABLE zoo.customers (id, name, email) WHERE (id > 10 AND name <> 'it''s'), TABLES IN SCHEMA zoo_evt, "copy from stdin;" WITH (publish = 'insert')$$;
  END IF;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
  -- 15 and newer refuse column lists beside schemas: two publications
  EXECUTE $$CREATE PUBLICATION zoo_pub_some FOR TABLE zoo.customers (id, name, email) WHERE (id > 10 AND name <> 'it''s') WITH (publish = 'insert')$$;
  EXECUTE $$CREATE PUBLICATION zoo_pub_schema FOR TABLES IN SCHEMA zoo_evt, "copy from stdin;", TABLE zoo.orders WHERE (id < 5) WITH (publish = 'insert')$$;
END
$zoo$;
CREATE SUBSCRIPTION zoo_sub CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere user=nobody password=zoo-secret-in-subscription' PUBLICATION one, "two; ""odd""" WITH (connect = false, enabled = false, create_slot = false, copy_data = false, slot_name = NONE);
CREATE SUBSCRIPTION "zoo sub; ""odd"" $(touch x)" CONNECTION 'host=127.0.0.1 port=1 dbname=''no where'' application_name=''it\''s \\ "x"''' PUBLICATION "it's" WITH (connect = false, enabled = false, create_slot = false, copy_data = false, slot_name = NONE, binary = true, streaming = true, synchronous_commit = 'remote_write');
COMMENT ON SUBSCRIPTION zoo_sub IS 'a subscription''s comment; it never connects';
ALTER SUBSCRIPTION "zoo sub; ""odd"" $(touch x)" OWNER TO CURRENT_USER;

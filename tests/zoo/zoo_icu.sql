-- Only for servers built with ICU (SELECT FROM pg_collation WHERE collname = 'und-x-icu'), 14 or newer. Load after
-- zoo.sql, in a transaction of its own; the same rules hold.
SELECT pg_catalog.set_config('client_min_messages', 'error', true);
SELECT pg_catalog.set_config('search_path', '', true);
CREATE SCHEMA zoo_icu;
CREATE COLLATION zoo_icu."ignore case; ""odd""" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION zoo_icu.phonebook (provider = icu, locale = 'de-u-co-phonebk');
COMMENT ON COLLATION zoo_icu.phonebook IS 'an ICU collation';
DO $zoo$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    EXECUTE $$CREATE COLLATION zoo_icu.ruled (provider = icu, locale = 'und', rules = '&V << w <<< W')$$;
  END IF;
END
$zoo$;
-- rows that are equal to the server and different to the byte
CREATE TABLE zoo_icu.same (id integer, t text COLLATE zoo_icu."ignore case; ""odd""", EXCLUDE USING btree (id WITH =));
INSERT INTO zoo_icu.same VALUES (1, 'abc'), (2, 'ABC'), (3, 'aBc'), (4, 'äöü'), (5, 'ÄÖÜ');
CREATE TABLE zoo_icu.keyed (t text COLLATE zoo_icu."ignore case; ""odd""" PRIMARY KEY, p text COLLATE zoo_icu.phonebook);
INSERT INTO zoo_icu.keyed SELECT CASE i % 2 WHEN 0 THEN 'Key' ELSE 'KEY' END || i, chr(192 + i) FROM generate_series(1, 60) i;
CREATE INDEX keyed_p ON zoo_icu.keyed (p COLLATE "de-x-icu", t);
CREATE TABLE zoo_icu.part (t text COLLATE zoo_icu.phonebook, n integer) PARTITION BY RANGE (t);
CREATE TABLE zoo_icu.part_1 PARTITION OF zoo_icu.part FOR VALUES FROM (MINVALUE) TO ('o');
CREATE TABLE zoo_icu.part_2 PARTITION OF zoo_icu.part FOR VALUES FROM ('o') TO (MAXVALUE);
INSERT INTO zoo_icu.part SELECT chr(192 + i) || i, i FROM generate_series(1, 60) i;

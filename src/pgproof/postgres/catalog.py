"""What a database holds, read from its catalogue: tables, sequences, materialized views, large objects, identity.

System catalogues are read by qualified name under an empty search_path, so nothing that the database
defines can stand in for them.
"""

import graphlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pgproof.errors import Refused
from pgproof.evidence import Count
from pgproof.manifest import Database, Sequence, Table
from pgproof.postgres.server import Session
from pgproof.postgres.sql import literal, name, qualified, readable

_BATCH = 500

# Ours to dump: neither temporary nor a system's; an extension's only where it says so (extconfig).
_OURS = """
    n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        AND c.oid <> ALL (coalesce(e.extconfig, '{}')))
"""
_FROM = "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"


@dataclass(frozen=True, slots=True)
class Heap:
    """A table to copy: what it is, and how large on disk (bytes; `pages` of the main fork)."""

    oid: int
    table: Table
    pages: int
    size: int
    ranges: bool


@dataclass(frozen=True, slots=True)
class MaterializedView:
    oid: int
    schema: str
    name: str


def tables(session: Session) -> list[Heap]:
    """Ordinary tables, largest first: partitions and children stand for themselves."""
    found = session.rows(f"""
        SELECT c.oid::int8, n.nspname, c.relname,
            (pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8,
            pg_catalog.pg_table_size(c.oid), a.amname = 'heap',
            ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
                  WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
            coalesce((SELECT e.extcondition[array_position(e.extconfig, c.oid)]
                      FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)), '')
        {_FROM} LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
        WHERE c.relkind = 'r' AND {_OURS}
        ORDER BY 5 DESC, 2, 3""")
    ranges = session.version_num >= 140000  # TID range scans
    return [
        Heap(oid, Table(schema, table, tuple(columns), condition=condition), pages, size, ranges and heap)
        for oid, schema, table, pages, size, heap, columns, condition in found
    ]


def unreadable(session: Session) -> tuple[list[str], list[str]]:
    """Tables and sequences that this role may not read, and tables whose rows a policy would hide from it."""
    found = session.rows(f"""
        SELECT n.nspname, c.relname, coalesce(pg_catalog.row_security_active(c.oid), false),
            NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
        {_FROM} WHERE c.relkind IN ('r', 'S') AND {_OURS} ORDER BY 1, 2""")
    denied = [readable(schema, relation) for schema, relation, _, no in found if no]
    hidden = [readable(schema, relation) for schema, relation, active, no in found if active and not no]
    return denied, hidden


def unreadable_large_objects(session: Session) -> int:
    """How many large objects this role may not read."""
    return int(
        session.value("""
        SELECT count(*) FROM pg_catalog.pg_largeobject_metadata m
        WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
        AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                        AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))""")
    )


def left_out(session: Session) -> list[str]:
    """What pg_dump leaves out where the role is no superuser, without failing, as sentences."""
    if session.value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
        return []
    subscriptions = session.value("""
        SELECT count(subname) FROM pg_catalog.pg_subscription
        WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())""")
    mappings = session.value("SELECT count(*) FROM pg_catalog.pg_user_mappings WHERE umoptions IS NULL")
    told = []
    if subscriptions:
        told.append(f"subscriptions are left out ({subscriptions}): only a superuser may read them")
    if mappings:
        told.append(f"user mappings ({mappings}) are without options such as passwords: the backup role sees none")
    return told


def sequences(session: Session) -> list[Sequence]:
    """Every sequence with the value it stands at."""
    found = session.rows(f"SELECT n.nspname, c.relname {_FROM} WHERE c.relkind = 'S' AND {_OURS} ORDER BY 1, 2")
    result: list[Sequence] = []
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        union = " UNION ALL ".join(
            f"SELECT {index}, last_value, is_called FROM {qualified(schema, sequence)}"
            for index, (schema, sequence) in enumerate(batch)
        )
        for index, last_value, is_called in session.rows(f"{union} ORDER BY 1"):
            schema, sequence = batch[index]
            result.append(Sequence(schema, sequence, last_value, is_called))
    return result


def materialized_views(session: Session) -> list[MaterializedView]:
    """The populated ones, each after those it reads, also by way of views."""
    views = session.rows(f"""
        SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text = 'm', c.relispopulated {_FROM}
        WHERE c.relkind IN ('m', 'v') AND {_OURS} ORDER BY 2, 3""")
    edges = session.rows("""
        SELECT DISTINCT r.ev_class::int8, d.refobjid::int8 FROM pg_catalog.pg_rewrite r
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
        JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('m', 'v')
        WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class""")
    graph: dict[int, set[int]] = {oid: set() for oid, *_ in views}
    for reader, read in edges:
        if reader in graph and read in graph:
            graph[reader].add(read)
    populated = {oid: (schema, view) for oid, schema, view, materialized, full in views if materialized and full}
    order = graphlib.TopologicalSorter(graph).static_order()
    return [MaterializedView(oid, *populated[oid]) for oid in order if oid in populated]


def to_analyze(session: Session) -> list[str]:
    """Everything that planner statistics are made of, as quoted names."""
    found = session.rows(
        f"SELECT n.nspname, c.relname {_FROM} WHERE c.relkind IN ('r', 'p', 'm') AND {_OURS} ORDER BY 1, 2"
    )
    return [qualified(*row) for row in found]


_CHANGED_DATABASES = """
SELECT datname FROM pg_catalog.pg_database d
WHERE datallowconn AND (to_jsonb(d)->>'datcollversion') <> pg_catalog.pg_database_collation_actual_version(oid)
ORDER BY 1
"""
_CHANGED_COLLATIONS = """
SELECT collname FROM pg_catalog.pg_collation c
WHERE collversion <> pg_catalog.pg_collation_actual_version(oid) AND EXISTS
  (SELECT FROM pg_catalog.pg_attribute WHERE attcollation = c.oid)
ORDER BY 1
"""


def changed_collations(session: Session) -> tuple[list[str], list[str]]:
    """Databases (from PostgreSQL 15 on, which notes it), and used collations of this database, whose library is of
    another version than the one that their indexes were sorted by.
    """
    databases = session.rows(_CHANGED_DATABASES) if session.version_num >= 150000 else []
    return [str(one) for (one,) in databases], [str(one) for (one,) in session.rows(_CHANGED_COLLATIONS)]


def invalid_indexes(session: Session) -> list[str]:
    found = session.rows(f"""
        SELECT n.nspname, c.relname {_FROM} JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
        WHERE NOT i.indisvalid AND c.relkind = 'i' AND {_OURS} ORDER BY 1, 2""")
    return [readable(*row) for row in found]


def large_objects(session: Session) -> Count:
    """How many there are; their bytes are counted as they are read."""
    return Count(int(session.value("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")))


def large_object_statements(session: Session) -> Iterable[str]:
    """SQL that makes each large object anew, empty: its number, owner, comment, grants."""
    for oid, owner, comment, acl in session.rows("""
        SELECT m.oid::int8, pg_catalog.pg_get_userbyid(m.lomowner), pg_catalog.obj_description(m.oid, 'pg_largeobject'),
            (SELECT pg_catalog.array_agg(pg_catalog.row_to_json(g)) FROM (
                SELECT a.privilege_type AS right, a.is_grantable AS grantable,
                    CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END AS grantee
                FROM pg_catalog.aclexplode(m.lomacl) a) g)
        FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid"""):
        yield f"SELECT pg_catalog.lo_create('{oid}');\n"
        yield f"ALTER LARGE OBJECT {oid} OWNER TO {name(owner)};\n"
        if comment is not None:
            yield f"COMMENT ON LARGE OBJECT {oid} IS {literal(comment)};\n"
        if acl is not None:
            yield f"REVOKE ALL ON LARGE OBJECT {oid} FROM PUBLIC, {name(owner)};\n"
            for grant in acl:
                to = name(grant["grantee"]) if grant["grantee"] else "PUBLIC"
                option = " WITH GRANT OPTION" if grant["grantable"] else ""
                yield f"GRANT {grant['right']} ON LARGE OBJECT {oid} TO {to}{option};\n"


# Contents of large objects, in chunks, each line a whole SQL statement without a backslash in it, so that
# its COPY text is itself. lo_get needs no more than SELECT on the object, unlike pg_largeobject. Each step
# depends on o.oid too: Memoize (PostgreSQL 14 and newer) would else take one descriptor's answer for the next's.
LARGE_OBJECT_CONTENTS = """
    SELECT 'SELECT pg_catalog.lo_put(' || o.oid || ', ' || p.place || ', pg_catalog.decode('''
        || pg_catalog.encode(pg_catalog.lo_get(o.oid, p.place, 262144), 'hex') || ''', ''hex''));'
    FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid) o
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_open(o.oid, 262144) AS fd OFFSET 0) f
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_lseek64(f.fd, o.oid::int8 * 0, 2) AS size OFFSET 0) s
    CROSS JOIN LATERAL (SELECT pg_catalog.lo_close(CASE WHEN s.size >= 0 AND o.oid > 0 THEN f.fd END)
        AS closed OFFSET 0) c
    CROSS JOIN LATERAL pg_catalog.generate_series(0, s.size - 1, 262144) p(place)
    WHERE c.closed = 0"""


def database(session: Session) -> Database:
    """What CREATE DATABASE and the statements after it need to make the like of this one."""
    locale, version = _locale_columns(session.version_num)
    row = session.row(f"""
        SELECT d.datname, pg_catalog.pg_encoding_to_char(d.encoding), {locale}, {version},
            d.datcollate, d.datctype, pg_catalog.pg_get_userbyid(d.datdba), d.datconnlimit,
            pg_catalog.pg_database_size(d.oid), pg_catalog.shobj_description(d.oid, 'pg_database'),
            d.datacl IS NOT NULL
        FROM pg_catalog.pg_database d WHERE d.datname = current_database()""")
    (
        dbname,
        encoding,
        provider,
        icu,
        version_text,
        collate,
        ctype,
        owner,
        limit,
        size,
        comment,
        granted,
    ) = row
    return Database(
        name=dbname,
        encoding=encoding,
        provider=provider,
        collate=collate,
        ctype=ctype,
        locale=icu or "",
        collation_version=version_text or "",
        owner=owner,
        connection_limit=limit,
        size=size,
        extensions=dict(session.rows("SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1")),
        roles=_roles(session, owner),
        required_roles=_required_roles(session),
        tablespaces=_tablespaces(session),
        settings=_settings(session),
        comment=comment or "",
        grants=_grants(session) if granted else None,
    )


def _settings(session: Session) -> tuple[tuple[str, str, str], ...]:
    """What ALTER DATABASE ... SET and ALTER ROLE ... IN DATABASE ... SET have set here."""
    found = session.rows("""
        SELECT coalesce(r.rolname, ''), unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
        WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        ORDER BY 1, 2""")
    return tuple((role, *one.split("=", 1)) for role, one in found)


def _locale_columns(version_num: int) -> tuple[str, str]:
    if version_num >= 170000:
        return "d.datlocprovider::text, d.datlocale", "d.datcollversion"
    if version_num >= 150000:
        return "d.datlocprovider::text, d.daticulocale", "d.datcollversion"
    return "'c', NULL", "NULL"


def _roles(session: Session, owner: str) -> tuple[str, ...]:
    """Every role that the dump will name: owners, grantees, those in policies; and of the database itself."""
    found = session.rows("""
        SELECT DISTINCT r.rolname FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
        WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) = CASE
            WHEN s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN s.objid ELSE s.dbid END
        UNION SELECT r.rolname FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
        WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())""")
    return tuple(sorted({owner, *(role for (role,) in found if not role.startswith("pg_"))}))


def _required_roles(session: Session) -> tuple[str, ...]:
    """Roles that stand in statements themselves: policies and user mappings name them."""
    found = session.rows("""
        SELECT r.rolname FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_roles r ON r.oid = ANY (p.polroles)
        UNION SELECT usename FROM pg_catalog.pg_user_mappings WHERE umuser <> 0 ORDER BY 1""")
    return tuple(role for (role,) in found if not role.startswith("pg_"))


def _tablespaces(session: Session) -> tuple[str, ...]:
    """Those that tables and indexes lie in, but for the default one."""
    found = session.rows(f"""
        SELECT DISTINCT t.spcname {_FROM} JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace
        WHERE t.spcname <> 'pg_global' AND {_OURS} ORDER BY 1""")
    return tuple(one for (one,) in found)


def _grants(session: Session) -> tuple[tuple[str, str, bool], ...]:
    """Privilege, grantee ('' for PUBLIC) and grant option, of the database itself."""
    return tuple(
        session.rows("""
        SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
            a.is_grantable
        FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
        WHERE d.datname = current_database() ORDER BY 1, 2""")
    )


def create_database(new: str, like: Database, *, owner: str | None, version_num: int) -> str:
    """CREATE DATABASE with the encoding and locale of `like`, on a server of `version_num`. Raises Refused."""
    words = [f"CREATE DATABASE {name(new)} TEMPLATE template0 ENCODING {literal(like.encoding)}"]
    words.append(f"LC_COLLATE {literal(like.collate)} LC_CTYPE {literal(like.ctype)}")
    if like.provider == "i":
        if version_num < 150000:
            raise Refused(
                f"{like.name} uses an ICU locale, which a PostgreSQL {version_num // 10000} database cannot",
                hint="restore into PostgreSQL 15 or newer",
            )
        words.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(like.locale)}")
    elif like.provider == "b":
        words.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(like.locale)}")
    elif version_num >= 150000:
        words.append("LOCALE_PROVIDER libc")
    if owner:
        words.append(f"OWNER {name(owner)}")
    return " ".join(words)


def database_statements(new: str, like: Database, *, owners: bool) -> list[str]:
    """What belongs to a database and is not in its dump: connection limit, settings; with `owners` also
    settings for roles, and grants.
    """
    made = []
    if like.connection_limit != -1:
        made.append(f"ALTER DATABASE {name(new)} CONNECTION LIMIT {like.connection_limit}")
    for role, key, value in like.settings:
        if role and not owners:
            continue
        whose = f"ROLE {name(role)} IN DATABASE" if role else "DATABASE"
        made.append(f"ALTER {whose} {name(new)} SET {key} TO {_setting(key, value)}")
    if owners and like.grants is not None:
        made.append(f"REVOKE ALL ON DATABASE {name(new)} FROM PUBLIC")
        for right, grantee, option in like.grants:
            to = name(grantee) if grantee else "PUBLIC"
            made.append(f"GRANT {right} ON DATABASE {name(new)} TO {to}{' WITH GRANT OPTION' if option else ''}")
    return made


def _setting(key: str, value: str) -> str:
    """Lists of names are stored quoted as in SQL (GUC_LIST_QUOTE; pg_dump's makeAlterConfigCommand knows the
    same): each name becomes a string constant, as an empty one cannot be written as a name.
    """
    if key.lower() not in _NAME_LISTS:
        return literal(value)
    return ", ".join(literal(_unquoted(one)) for one in _LISTED.findall(value)) or literal("")


_NAME_LISTS = ("search_path", "local_preload_libraries", "session_preload_libraries", "temp_tablespaces")
_LISTED = re.compile(r'"(?:[^"]|"")*"|[^\s,"]+')


def _unquoted(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word

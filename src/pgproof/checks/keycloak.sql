-- K01 error: the master realm exists and is enabled
SELECT (SELECT count(*) = 1 FROM public.realm WHERE name = 'master' AND enabled);

-- K02 error: every realm has a name
SELECT NOT EXISTS (SELECT 1 FROM public.realm WHERE name IS NULL OR name = '');

-- K03 error: every realm's default role exists as a role of that realm
SELECT NOT EXISTS (SELECT 1 FROM public.realm r LEFT JOIN public.keycloak_role k ON k.id = r.default_role AND k.realm_id = r.id AND NOT k.client_role WHERE k.id IS NULL);

-- K04 warning: every realm has its five built-in clients
SELECT NOT EXISTS (SELECT 1 FROM public.realm r CROSS JOIN (VALUES ('account'), ('account-console'), ('admin-cli'), ('broker'), ('security-admin-console')) c(n) WHERE NOT EXISTS (SELECT 1 FROM public.client x WHERE x.realm_id = r.id AND x.client_id = c.n));

-- K05 error: every realm has its administration client in the master realm
SELECT NOT EXISTS (SELECT 1 FROM public.realm r LEFT JOIN public.client c ON c.id = r.master_admin_client WHERE c.id IS NULL OR c.client_id <> r.name || '-realm');

-- K06 error: every user belongs to an existing realm
SELECT NOT EXISTS (SELECT 1 FROM public.user_entity u LEFT JOIN public.realm r ON r.id = u.realm_id WHERE r.id IS NULL);

-- K07 error: every client belongs to an existing realm
SELECT NOT EXISTS (SELECT 1 FROM public.client c LEFT JOIN public.realm r ON r.id = c.realm_id WHERE r.id IS NULL);

-- K08 error: every credential belongs to an existing user
SELECT NOT EXISTS (SELECT 1 FROM public.credential c LEFT JOIN public.user_entity u ON u.id = c.user_id WHERE u.id IS NULL);

-- K09 error: every password credential is readable and has a hash and an algorithm
SELECT NOT EXISTS (SELECT 1 FROM public.credential WHERE type = 'password' AND (secret_data::json ->> 'value' IS NULL OR credential_data::json ->> 'algorithm' IS NULL));

-- K10 error: every role given to a user exists
SELECT NOT EXISTS (SELECT 1 FROM public.user_role_mapping m LEFT JOIN public.keycloak_role k ON k.id = m.role_id WHERE k.id IS NULL);

-- K11 error: every group a user is a member of exists
SELECT NOT EXISTS (SELECT 1 FROM public.user_group_membership m LEFT JOIN public.keycloak_group g ON g.id = m.group_id WHERE g.id IS NULL);

-- K12 error: every subgroup's parent group exists
SELECT NOT EXISTS (SELECT 1 FROM public.keycloak_group g LEFT JOIN public.keycloak_group p ON p.id = g.parent_group WHERE btrim(g.parent_group) <> '' AND p.id IS NULL);

-- K13 warning: every realm has a signing key of its own with a private key in it
SELECT NOT EXISTS (SELECT 1 FROM public.realm r WHERE NOT EXISTS (SELECT 1 FROM public.component c JOIN public.component_config g ON g.component_id = c.id AND g.name = 'privateKey' WHERE c.realm_id = r.id AND c.provider_type = 'org.keycloak.keys.KeyProvider' AND length(g.value) > 100));

-- K15 error: an enabled user holds the admin role of the master realm
SELECT EXISTS (SELECT 1 FROM public.user_role_mapping m JOIN public.keycloak_role k ON k.id = m.role_id JOIN public.user_entity u ON u.id = m.user_id JOIN public.realm r ON r.id = k.realm_id WHERE r.name = 'master' AND k.name = 'admin' AND NOT k.client_role AND u.enabled);

-- K16 error: every realm's browser flow and direct grant flow exist
SELECT NOT EXISTS (SELECT 1 FROM public.realm r LEFT JOIN public.authentication_flow f ON f.id = r.browser_flow LEFT JOIN public.authentication_flow d ON d.id = r.direct_grant_flow WHERE f.id IS NULL OR d.id IS NULL);

-- K17 error: the table of Keycloak versions run so far is filled and every entry looks like a version
SELECT (SELECT count(*) > 0 AND bool_and(version ~ '^[0-9]+[.][0-9]+[.][0-9]+') FROM public.migration_model);

-- K18 error: the newest Keycloak version that ran on this database begins with a main version number
SELECT coalesce((SELECT version ~ '^[0-9]{2}[.]' FROM public.migration_model ORDER BY update_time DESC LIMIT 1), false);

-- K19 error: the list of schema changes has at least 150 entries, all of them applied
SELECT (SELECT count(*) >= 150 AND bool_and(exectype IN ('EXECUTED', 'MARK_RAN', 'RERAN')) FROM public.databasechangelog);

-- K20 error: the schema change lock is there and nobody holds it
SELECT NOT EXISTS (SELECT 1 FROM public.databasechangeloglock WHERE locked) AND EXISTS (SELECT 1 FROM public.databasechangeloglock WHERE id = 1);

-- K23 warning: every client session belongs to a user session
SELECT NOT EXISTS (SELECT 1 FROM public.offline_client_session c LEFT JOIN public.offline_user_session u USING (user_session_id, offline_flag) WHERE u.user_session_id IS NULL);

-- K25 error: no session begins in the future (by more than clocks of two machines may differ)
SELECT NOT EXISTS (SELECT 1 FROM public.offline_user_session WHERE created_on > extract(epoch FROM now()) + 300);

-- K26b error: every long user attribute still has the checksum Keycloak stored with it
SELECT NOT EXISTS (SELECT 1 FROM public.user_attribute WHERE long_value IS NOT NULL AND sha512(convert_to(long_value, 'UTF8')) <> long_value_hash);

-- K27 error: all 67 or more foreign keys are there and validated
SELECT NOT EXISTS (SELECT 1 FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'f' AND NOT convalidated) AND (SELECT count(*) >= 67 FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'f');

-- K28 warning: whoever owns the list of schema changes, which is Keycloak, owns every table or is a member of its owner
SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'public.databasechangelog'::regclass), relowner, 'USAGE'));

-- K29 error: every index is valid
SELECT NOT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid);

-- K30 error: the database is encoded in UTF-8
SELECT (SELECT pg_encoding_to_char(encoding) = 'UTF8' FROM pg_database WHERE datname = current_database());

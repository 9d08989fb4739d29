-- Fills the Keycloak-shaped database. The one parameter is the number of users of realm acme,
-- written as a colon and the word users; replace it before the file is sent.
-- Deterministic: every id is the md5 of a name, every time counts from 2026-10-15 00:00 UTC
-- (1792022400 s). No key, secret or hash below is a real one.

-- ---------------------------------------------------------------- realms

INSERT INTO public.realm (id, access_code_lifespan, user_action_lifespan, access_token_lifespan, login_lifespan,
  enabled, events_enabled, events_expiration, admin_events_enabled, admin_events_details_enabled, name, not_before,
  password_policy, registration_allowed, remember_me, reset_password_allowed, verify_email, ssl_required,
  sso_idle_timeout, sso_max_lifespan, offline_session_idle_timeout, access_token_life_implicit,
  internationalization_enabled, default_locale, login_theme, master_admin_client, default_role,
  browser_flow, registration_flow, direct_grant_flow, reset_credentials_flow, client_auth_flow, docker_auth_flow)
SELECT md5('realm ' || r)::uuid, 60, 300, CASE r WHEN 'master' THEN 60 ELSE 300 END, 1800,
  true, r = 'acme', CASE r WHEN 'acme' THEN 7776000 END, r = 'acme', r = 'acme', r, 0,
  CASE r WHEN 'acme' THEN 'length(12) and notUsername(undefined) and passwordHistory(3)' END,
  r = 'acme', r = 'acme', r = 'acme', r = 'acme', 'external',
  1800, 36000, 2592000, 900,
  r = 'acme', CASE r WHEN 'acme' THEN 'de' END, CASE r WHEN 'acme' THEN 'acme-theme' END,
  md5('client master ' || r || '-realm')::uuid, md5('role ' || r || '  default-roles-' || r)::uuid,
  md5('flow ' || r || ' browser')::uuid, md5('flow ' || r || ' registration')::uuid,
  md5('flow ' || r || ' direct grant')::uuid, md5('flow ' || r || ' reset credentials')::uuid,
  md5('flow ' || r || ' clients')::uuid, md5('flow ' || r || ' docker auth')::uuid
FROM (VALUES ('master'), ('acme')) AS realms(r);

INSERT INTO public.realm_attribute (name, realm_id, value)
SELECT a.name, md5('realm ' || r)::uuid, a.value
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('bruteForceProtected', 'true'), ('permanentLockout', 'false'), ('maxTemporaryLockouts', '0'),
  ('bruteForceStrategy', 'MULTIPLE'), ('maxFailureWaitSeconds', '900'), ('minimumQuickLoginWaitSeconds', '60'),
  ('waitIncrementSeconds', '60'), ('quickLoginCheckMilliSeconds', '1000'), ('maxDeltaTimeSeconds', '43200'),
  ('failureFactor', '30'), ('realmReusableOtpCode', 'false'), ('firstBrokerLoginFlowId', NULL),
  ('displayName', 'Keycloak'), ('displayNameHtml', '<div class="kc-logo-text"><span>Keycloak</span></div>'),
  ('defaultSignatureAlgorithm', 'RS256'), ('offlineSessionMaxLifespanEnabled', 'false'),
  ('offlineSessionMaxLifespan', '5184000'), ('clientSessionIdleTimeout', '0'), ('clientSessionMaxLifespan', '0'),
  ('clientOfflineSessionIdleTimeout', '0'), ('clientOfflineSessionMaxLifespan', '0'),
  ('actionTokenGeneratedByAdminLifespan', '43200'), ('actionTokenGeneratedByUserLifespan', '300'),
  ('oauth2DeviceCodeLifespan', '600'), ('oauth2DevicePollingInterval', '5'), ('organizationsEnabled', 'true'),
  ('adminPermissionsEnabled', 'false'), ('verifiableCredentialsEnabled', 'false'),
  ('webAuthnPolicyRpEntityName', 'keycloak'), ('webAuthnPolicySignatureAlgorithms', 'ES256,RS256'),
  ('webAuthnPolicyRpId', ''), ('webAuthnPolicyAttestationConveyancePreference', 'not specified'),
  ('webAuthnPolicyUserVerificationRequirement', 'not specified'), ('webAuthnPolicyCreateTimeout', '0'),
  ('cibaBackchannelTokenDeliveryMode', 'poll'), ('cibaExpiresIn', '120'), ('cibaInterval', '5'),
  ('parRequestUriLifespan', '60'), ('adminEventsExpiration', '31536000'),
  ('_browser_header.contentSecurityPolicy', 'frame-src ''self''; frame-ancestors ''self''; object-src ''none'';'),
  ('_browser_header.xContentTypeOptions', 'nosniff'), ('_browser_header.referrerPolicy', 'no-referrer'),
  ('_browser_header.xFrameOptions', 'SAMEORIGIN'), ('_browser_header.xRobotsTag', 'none'),
  ('_browser_header.strictTransportSecurity', 'max-age=31536000; includeSubDomains'),
  ('client-policies.profiles', '{"profiles":[]}'), ('client-policies.policies', '{"policies":[]}')
) AS a(name, value);

INSERT INTO public.realm_required_credential (type, form_label, input, secret, realm_id)
SELECT 'password', 'password', true, true, md5('realm ' || r)::uuid FROM (VALUES ('master'), ('acme')) AS realms(r);

INSERT INTO public.realm_events_listeners (realm_id, value)
SELECT md5('realm ' || r)::uuid, l FROM (VALUES ('master', 'jboss-logging'), ('acme', 'jboss-logging'), ('acme', 'email')) AS v(r, l);

INSERT INTO public.realm_enabled_event_types (realm_id, value)
SELECT md5('realm acme')::uuid, t FROM unnest(ARRAY['LOGIN', 'LOGIN_ERROR', 'LOGOUT', 'LOGOUT_ERROR', 'REGISTER',
  'REGISTER_ERROR', 'CODE_TO_TOKEN', 'CODE_TO_TOKEN_ERROR', 'REFRESH_TOKEN', 'REFRESH_TOKEN_ERROR', 'UPDATE_PROFILE',
  'UPDATE_CREDENTIAL', 'REMOVE_CREDENTIAL', 'RESET_PASSWORD', 'SEND_RESET_PASSWORD', 'VERIFY_EMAIL', 'CLIENT_LOGIN',
  'FEDERATED_IDENTITY_LINK', 'IDENTITY_PROVIDER_LOGIN', 'TOKEN_EXCHANGE', 'GRANT_CONSENT', 'REVOKE_GRANT']) AS t;

INSERT INTO public.realm_supported_locales (realm_id, value)
SELECT md5('realm acme')::uuid, l FROM unnest(ARRAY['de', 'en', 'fr', 'ja', 'ar', 'uk', 'pt-BR', 'zh-CN']) AS l;

INSERT INTO public.realm_smtp_config (realm_id, name, value)
SELECT md5('realm acme')::uuid, n, v FROM (VALUES ('host', 'smtp.acme.example'), ('port', '587'), ('from', 'no-reply@acme.example'),
  ('fromDisplayName', 'ACME Anmeldung – Größe & Maß'), ('auth', 'true'), ('starttls', 'true'), ('ssl', 'false'),
  ('user', 'keycloak'), ('password', 'not-a-real-smtp-password')) AS s(n, v);

INSERT INTO public.realm_localizations (realm_id, locale, texts)
VALUES (md5('realm acme')::uuid, 'de', '{"loginTitle":"Anmelden bei ACME","greeting":"Grüß Gott, {0}! 👋","note":"Zeile eins\nZeile zwei\tTab \\ Ende"}'),
       (md5('realm acme')::uuid, 'fr', '{"loginTitle":"Connexion à ACME","greeting":"Bonjour, {0} !","note":"L''accès est réservé"}'),
       (md5('realm acme')::uuid, 'ja', '{"loginTitle":"ACMEにログイン","greeting":"{0}さん、ようこそ 🎌"}'),
       (md5('realm acme')::uuid, 'ar', '{"loginTitle":"تسجيل الدخول إلى ACME","greeting":"مرحبا {0}"}');

INSERT INTO public.required_action_provider (id, alias, name, realm_id, enabled, default_action, provider_id, priority)
SELECT md5('action ' || r || ' ' || a.alias)::uuid, a.alias, a.name, md5('realm ' || r)::uuid, a.on_, false, a.alias, a.p
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('CONFIGURE_TOTP', 'Configure OTP', true, 10), ('TERMS_AND_CONDITIONS', 'Terms and Conditions', false, 20),
  ('UPDATE_PASSWORD', 'Update Password', true, 30), ('UPDATE_PROFILE', 'Update Profile', true, 40),
  ('VERIFY_EMAIL', 'Verify Email', true, 50), ('delete_account', 'Delete Account', false, 60),
  ('UPDATE_EMAIL', 'Update Email', false, 70), ('webauthn-register', 'Webauthn Register', true, 80),
  ('webauthn-register-passwordless', 'Webauthn Register Passwordless', true, 90), ('VERIFY_PROFILE', 'Verify Profile', true, 100),
  ('delete_credential', 'Delete Credential', true, 110), ('idp_link', 'Linking Identity Provider', true, 120),
  ('CONFIGURE_RECOVERY_AUTHN_CODES', 'Recovery Authentication Codes', true, 130),
  ('update_user_locale', 'Update User Locale', true, 1000)) AS a(alias, name, on_, p);

INSERT INTO public.required_action_config (required_action_id, name, value)
SELECT md5('action acme ' || a)::uuid, n, v
FROM (VALUES ('UPDATE_PASSWORD', 'max_auth_age', '300'), ('CONFIGURE_TOTP', 'add-recovery-codes', 'true'),
             ('CONFIGURE_RECOVERY_AUTHN_CODES', 'recovery_code_count', '12')) AS c(a, n, v);

-- ---------------------------------------------------------------- authentication flows

INSERT INTO public.authentication_flow (id, alias, description, realm_id, provider_id, top_level, built_in)
SELECT md5('flow ' || r || ' ' || f.alias)::uuid, f.alias, f.descr, md5('realm ' || r)::uuid, f.kind, f.top, true
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('browser', 'Browser based authentication', 'basic-flow', true),
  ('forms', 'Username, password, otp and other auth forms.', 'basic-flow', false),
  ('Browser - Conditional 2FA', 'Flow to determine if any 2FA is required for the authentication', 'basic-flow', false),
  ('direct grant', 'OpenID Connect Resource Owner Grant', 'basic-flow', true),
  ('Direct Grant - Conditional OTP', 'Flow to determine if the OTP is required for the authentication', 'basic-flow', false),
  ('registration', 'Registration flow', 'basic-flow', true),
  ('registration form', 'Registration form', 'form-flow', false),
  ('reset credentials', 'Reset credentials for a user if they forgot their password or something', 'basic-flow', true),
  ('Reset - Conditional OTP', 'Flow to determine if the OTP should be reset or not. Set to REQUIRED to force.', 'basic-flow', false),
  ('clients', 'Base authentication for clients', 'client-flow', true),
  ('first broker login', 'Actions taken after first broker login with identity provider account', 'basic-flow', true),
  ('User creation or linking', 'Flow for the existing/non-existing user alternatives', 'basic-flow', false),
  ('Handle Existing Account', 'Handle what to do if there is existing account with same email/username', 'basic-flow', false),
  ('Account verification options', 'Method with which to verity the existing account', 'basic-flow', false),
  ('Verify Existing Account by Re-authentication', 'Reauthentication of existing account', 'basic-flow', false),
  ('First broker login - Conditional 2FA', 'Flow to determine if any 2FA is required for the authentication', 'basic-flow', false),
  ('saml ecp', 'SAML ECP Profile Authentication Flow', 'basic-flow', true),
  ('docker auth', 'Used by Docker clients to authenticate against the IDP', 'basic-flow', true)
) AS f(alias, descr, kind, top);

INSERT INTO public.authenticator_config (id, alias, realm_id)
SELECT md5('authconfig ' || r || ' ' || a)::uuid, a, md5('realm ' || r)::uuid
FROM (VALUES ('master'), ('acme')) AS realms(r),
     (VALUES ('review profile config'), ('create unique user config'), ('browser-conditional-credential'), ('first-broker-login-conditional-credential')) AS c(a);

INSERT INTO public.authenticator_config_entry (authenticator_id, name, value)
SELECT md5('authconfig ' || r || ' ' || a)::uuid, n, v
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('review profile config', 'update.profile.on.first.login', 'missing'),
  ('create unique user config', 'require.password.update.after.registration', 'false'),
  ('browser-conditional-credential', 'credentials', 'webauthn-passwordless'),
  ('first-broker-login-conditional-credential', 'credentials', 'webauthn-passwordless')) AS c(a, n, v);

-- requirement: 0 required, 1 conditional, 2 alternative, 3 disabled
INSERT INTO public.authentication_execution (id, authenticator, realm_id, flow_id, requirement, priority, authenticator_flow, auth_flow_id, auth_config)
SELECT md5('execution ' || r || ' ' || e.flow || ' ' || e.prio)::uuid, e.auth, md5('realm ' || r)::uuid,
  md5('flow ' || r || ' ' || e.flow)::uuid, e.req, e.prio, e.sub IS NOT NULL,
  md5('flow ' || r || ' ' || e.sub)::uuid, md5('authconfig ' || r || ' ' || e.conf)::uuid
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('browser', 'auth-cookie', 2, 10, NULL, NULL),
  ('browser', 'auth-spnego', 3, 20, NULL, NULL),
  ('browser', 'identity-provider-redirector', 2, 25, NULL, NULL),
  ('browser', NULL, 2, 30, 'forms', NULL),
  ('forms', 'auth-username-password-form', 0, 10, NULL, NULL),
  ('forms', NULL, 1, 20, 'Browser - Conditional 2FA', NULL),
  ('Browser - Conditional 2FA', 'conditional-user-configured', 0, 10, NULL, NULL),
  ('Browser - Conditional 2FA', 'conditional-credential', 0, 20, NULL, 'browser-conditional-credential'),
  ('Browser - Conditional 2FA', 'auth-otp-form', 2, 30, NULL, NULL),
  ('Browser - Conditional 2FA', 'webauthn-authenticator', 3, 40, NULL, NULL),
  ('Browser - Conditional 2FA', 'auth-recovery-authn-code-form', 3, 50, NULL, NULL),
  ('direct grant', 'direct-grant-validate-username', 0, 10, NULL, NULL),
  ('direct grant', 'direct-grant-validate-password', 0, 20, NULL, NULL),
  ('direct grant', NULL, 1, 30, 'Direct Grant - Conditional OTP', NULL),
  ('Direct Grant - Conditional OTP', 'conditional-user-configured', 0, 10, NULL, NULL),
  ('Direct Grant - Conditional OTP', 'direct-grant-validate-otp', 0, 20, NULL, NULL),
  ('registration', 'registration-page-form', 0, 10, 'registration form', NULL),
  ('registration form', 'registration-user-creation', 0, 20, NULL, NULL),
  ('registration form', 'registration-password-action', 0, 50, NULL, NULL),
  ('registration form', 'registration-recaptcha-action', 3, 60, NULL, NULL),
  ('registration form', 'registration-terms-and-conditions', 3, 70, NULL, NULL),
  ('reset credentials', 'reset-credentials-choose-user', 0, 10, NULL, NULL),
  ('reset credentials', 'reset-credential-email', 0, 20, NULL, NULL),
  ('reset credentials', 'reset-password', 0, 30, NULL, NULL),
  ('reset credentials', NULL, 1, 40, 'Reset - Conditional OTP', NULL),
  ('Reset - Conditional OTP', 'conditional-user-configured', 0, 10, NULL, NULL),
  ('Reset - Conditional OTP', 'reset-otp', 0, 20, NULL, NULL),
  ('clients', 'client-secret', 2, 10, NULL, NULL),
  ('clients', 'client-jwt', 2, 20, NULL, NULL),
  ('clients', 'client-secret-jwt', 2, 30, NULL, NULL),
  ('clients', 'client-x509', 2, 40, NULL, NULL),
  ('first broker login', 'idp-review-profile', 0, 10, NULL, 'review profile config'),
  ('first broker login', NULL, 0, 20, 'User creation or linking', NULL),
  ('User creation or linking', 'idp-create-user-if-unique', 2, 10, NULL, 'create unique user config'),
  ('User creation or linking', NULL, 2, 20, 'Handle Existing Account', NULL),
  ('Handle Existing Account', 'idp-confirm-link', 0, 10, NULL, NULL),
  ('Handle Existing Account', NULL, 0, 20, 'Account verification options', NULL),
  ('Account verification options', 'idp-email-verification', 2, 10, NULL, NULL),
  ('Account verification options', NULL, 2, 20, 'Verify Existing Account by Re-authentication', NULL),
  ('Verify Existing Account by Re-authentication', 'idp-username-password-form', 0, 10, NULL, NULL),
  ('Verify Existing Account by Re-authentication', NULL, 1, 20, 'First broker login - Conditional 2FA', NULL),
  ('First broker login - Conditional 2FA', 'conditional-user-configured', 0, 10, NULL, NULL),
  ('First broker login - Conditional 2FA', 'conditional-credential', 0, 20, NULL, 'first-broker-login-conditional-credential'),
  ('First broker login - Conditional 2FA', 'auth-otp-form', 2, 30, NULL, NULL),
  ('First broker login - Conditional 2FA', 'webauthn-authenticator', 3, 40, NULL, NULL),
  ('First broker login - Conditional 2FA', 'auth-recovery-authn-code-form', 3, 50, NULL, NULL),
  ('saml ecp', 'http-basic-authenticator', 0, 10, NULL, NULL),
  ('docker auth', 'docker-http-basic-authenticator', 0, 10, NULL, NULL)
) AS e(flow, auth, req, prio, sub, conf);

-- ---------------------------------------------------------------- clients

INSERT INTO public.client (id, enabled, full_scope_allowed, client_id, not_before, public_client, secret, base_url,
  bearer_only, realm_id, protocol, name, service_accounts_enabled, client_authenticator_type, root_url,
  standard_flow_enabled, direct_access_grants_enabled, frontchannel_logout)
SELECT md5('client ' || r || ' ' || c.cid)::uuid, true, c.cid IN ('admin-cli', 'security-admin-console'), c.cid, 0, c.public, NULL, c.url,
  c.bearer, md5('realm ' || r)::uuid, CASE WHEN c.cid ~ '-realm$' THEN NULL ELSE 'openid-connect' END, c.name, false, 'client-secret', c.root,
  c.cid <> 'admin-cli', c.cid = 'admin-cli', false
FROM (VALUES
  ('master', 'account', true, false, '${client_account}', '/realms/master/account/', '${authBaseUrl}'),
  ('master', 'account-console', true, false, '${client_account-console}', '/realms/master/account/', '${authBaseUrl}'),
  ('master', 'admin-cli', true, false, '${client_admin-cli}', NULL, NULL),
  ('master', 'broker', false, true, '${client_broker}', NULL, NULL),
  ('master', 'security-admin-console', true, false, '${client_security-admin-console}', '/admin/master/console/', '${authAdminUrl}'),
  ('master', 'master-realm', false, true, 'master Realm', NULL, NULL),
  ('master', 'acme-realm', false, true, 'acme Realm', NULL, NULL),
  ('acme', 'account', true, false, '${client_account}', '/realms/acme/account/', '${authBaseUrl}'),
  ('acme', 'account-console', true, false, '${client_account-console}', '/realms/acme/account/', '${authBaseUrl}'),
  ('acme', 'admin-cli', true, false, '${client_admin-cli}', NULL, NULL),
  ('acme', 'broker', false, true, '${client_broker}', NULL, NULL),
  ('acme', 'realm-management', false, true, '${client_realm-management}', NULL, NULL),
  ('acme', 'security-admin-console', true, false, '${client_security-admin-console}', '/admin/acme/console/', '${authAdminUrl}')
) AS c(r, cid, public, bearer, name, url, root);

-- the applications: app-000, app-001, ... (one more for every 2,500 users)
INSERT INTO public.client (id, enabled, full_scope_allowed, client_id, not_before, public_client, secret, base_url,
  realm_id, protocol, frontchannel_logout, consent_required, name, service_accounts_enabled, client_authenticator_type,
  root_url, description, standard_flow_enabled, direct_access_grants_enabled, management_url)
SELECT md5('client acme app-' || lpad(i::text, 3, '0'))::uuid, i % 17 <> 16, i % 2 = 0, 'app-' || lpad(i::text, 3, '0'), 0, i % 3 = 0,
  CASE WHEN i % 3 > 0 THEN translate(substr(encode(sha256(('secret ' || i)::bytea), 'base64'), 1, 32), '+/', 'xy') END,
  '/', md5('realm acme')::uuid, CASE WHEN i % 10 = 9 THEN 'saml' ELSE 'openid-connect' END, true, i % 5 = 4,
  (ARRAY['Kundenportal', 'Bestellwesen', 'Lagerverwaltung', 'Réservations', '顧客ポータル', 'Склад', 'Rechnungen 📄'])[1 + i % 7] || ' ' || i,
  i % 3 = 1, CASE WHEN i % 7 = 6 THEN 'client-jwt' ELSE 'client-secret' END, 'https://app-' || lpad(i::text, 3, '0') || '.acme.example',
  'Anwendung ' || i || E' – eingetragen von Hand\tam Standort ' || (i % 9), true, i % 4 = 3,
  'https://app-' || lpad(i::text, 3, '0') || '.acme.example/admin'
FROM generate_series(0, 19 + :users / 2500) AS i;

INSERT INTO public.client_attributes (client_id, name, value)
SELECT c.id, a.name, CASE a.name
    WHEN 'client.secret.creation.time' THEN (1760486400 + length(c.client_id) * 86400)::text
    WHEN 'post.logout.redirect.uris' THEN coalesce(c.root_url, '') || '/*##' || coalesce(c.root_url, '') || '/bye'
    WHEN 'backchannel.logout.url' THEN coalesce(c.root_url, '') || '/oidc/backchannel-logout'
    ELSE a.value END
FROM public.client AS c, (VALUES
  ('client.secret.creation.time', NULL), ('post.logout.redirect.uris', NULL), ('backchannel.logout.url', NULL),
  ('backchannel.logout.session.required', 'true'), ('backchannel.logout.revoke.offline.tokens', 'false'),
  ('oauth2.device.authorization.grant.enabled', 'false'), ('oidc.ciba.grant.enabled', 'false'),
  ('pkce.code.challenge.method', 'S256'), ('display.on.consent.screen', 'false'), ('use.refresh.tokens', 'true'),
  ('realm_client', 'false'), ('standard.token.exchange.enabled', 'false')) AS a(name, value)
WHERE c.client_id LIKE 'app-%' OR a.name IN ('post.logout.redirect.uris', 'pkce.code.challenge.method', 'realm_client');

-- a certificate and its key, as signed-JWT and SAML clients carry them
INSERT INTO public.client_attributes (client_id, name, value)
SELECT c.id, a.name, 'MII' || (SELECT replace(encode(string_agg(sha512((c.id || a.name || i)::bytea), ''::bytea ORDER BY i), 'base64'), E'\n', '')
                               FROM generate_series(1, a.blocks) AS i)
FROM public.client AS c, (VALUES ('saml.signing.certificate', 11), ('saml.signing.private.key', 18)) AS a(name, blocks)
WHERE c.protocol = 'saml';

INSERT INTO public.client_auth_flow_bindings (client_id, flow_id, binding_name)
SELECT id, md5('flow acme browser')::uuid, 'browser' FROM public.client WHERE client_id IN ('app-003', 'app-010');

INSERT INTO public.client_initial_access (id, realm_id, "timestamp", expiration, count, remaining_count)
SELECT md5('initial access ' || i)::uuid, md5('realm acme')::uuid, 1790000000 + i * 3600, 864000, 10, 10 - i FROM generate_series(1, 5) AS i;

INSERT INTO public.client_node_registrations (client_id, name, value)
SELECT md5('client acme app-001')::uuid, 'node-' || i || '.acme.example', 1791000000 + i FROM generate_series(1, 3) AS i;

INSERT INTO public.redirect_uris (client_id, value)
SELECT id, CASE WHEN root_url LIKE 'https:%' THEN root_url || u ELSE base_url || '*' END
FROM public.client, (VALUES ('/*'), ('/callback'), ('/silent-check-sso.html')) AS x(u)
WHERE base_url IS NOT NULL AND (root_url LIKE 'https:%' OR u = '/*');

INSERT INTO public.web_origins (client_id, value)
SELECT id, CASE WHEN root_url LIKE 'https:%' THEN root_url ELSE '+' END FROM public.client WHERE base_url IS NOT NULL;

-- ---------------------------------------------------------------- client scopes and protocol mappers

INSERT INTO public.client_scope (id, name, realm_id, description, protocol)
SELECT md5('scope ' || r || ' ' || s.name)::uuid, s.name, md5('realm ' || r)::uuid, s.descr, s.protocol
FROM (VALUES ('master'), ('acme')) AS realms(r), (VALUES
  ('offline_access', 'OpenID Connect built-in scope: offline_access', 'openid-connect'),
  ('role_list', 'SAML role list', 'saml'),
  ('saml_organization', 'Organization Membership', 'saml'),
  ('profile', 'OpenID Connect built-in scope: profile', 'openid-connect'),
  ('email', 'OpenID Connect built-in scope: email', 'openid-connect'),
  ('address', 'OpenID Connect built-in scope: address', 'openid-connect'),
  ('phone', 'OpenID Connect built-in scope: phone', 'openid-connect'),
  ('roles', 'OpenID Connect scope for add user roles to the access token', 'openid-connect'),
  ('web-origins', 'OpenID Connect scope for add allowed web origins to the access token', 'openid-connect'),
  ('microprofile-jwt', 'Microprofile - JWT built-in scope', 'openid-connect'),
  ('acr', 'OpenID Connect scope for add acr (authentication context class reference) to the token', 'openid-connect'),
  ('basic', 'OpenID Connect scope for add all basic claims to the token', 'openid-connect'),
  ('service_account', 'Specific scope for a client enabled for service accounts', 'openid-connect'),
  ('organization', 'Additional claims about the organization a subject belongs to', 'openid-connect')
) AS s(name, descr, protocol);

INSERT INTO public.client_scope_attributes (scope_id, name, value)
SELECT s.id, a.name, CASE a.name WHEN 'consent.screen.text' THEN '${' || s.name || 'ScopeConsentText}' ELSE a.value END
FROM public.client_scope AS s, (VALUES ('consent.screen.text', NULL), ('display.on.consent.screen', 'true'), ('include.in.token.scope', 'true')) AS a(name, value);

INSERT INTO public.default_client_scope (realm_id, scope_id, default_scope)
SELECT realm_id, id, name NOT IN ('offline_access', 'address', 'phone', 'microprofile-jwt', 'organization')
FROM public.client_scope WHERE name <> 'service_account';

INSERT INTO public.client_scope_client (client_id, scope_id, default_scope)
SELECT c.id, s.id, s.name NOT IN ('offline_access', 'address', 'phone', 'microprofile-jwt', 'organization')
FROM public.client AS c JOIN public.client_scope AS s ON s.realm_id = c.realm_id AND s.protocol = c.protocol
WHERE s.name <> 'service_account' OR c.service_accounts_enabled;

INSERT INTO public.protocol_mapper (id, name, protocol, protocol_mapper_name, client_scope_id)
SELECT md5('mapper ' || s.id || ' ' || m.name)::uuid, m.name, s.protocol, m.kind, s.id
FROM public.client_scope AS s JOIN (VALUES
  ('profile', 'username', 'oidc-usermodel-attribute-mapper'), ('profile', 'full name', 'oidc-full-name-mapper'),
  ('profile', 'given name', 'oidc-usermodel-attribute-mapper'), ('profile', 'family name', 'oidc-usermodel-attribute-mapper'),
  ('profile', 'middle name', 'oidc-usermodel-attribute-mapper'), ('profile', 'nickname', 'oidc-usermodel-attribute-mapper'),
  ('profile', 'profile', 'oidc-usermodel-attribute-mapper'), ('profile', 'picture', 'oidc-usermodel-attribute-mapper'),
  ('profile', 'website', 'oidc-usermodel-attribute-mapper'), ('profile', 'gender', 'oidc-usermodel-attribute-mapper'),
  ('profile', 'birthdate', 'oidc-usermodel-attribute-mapper'), ('profile', 'zoneinfo', 'oidc-usermodel-attribute-mapper'),
  ('profile', 'locale', 'oidc-usermodel-attribute-mapper'), ('profile', 'updated at', 'oidc-usermodel-attribute-mapper'),
  ('email', 'email', 'oidc-usermodel-attribute-mapper'), ('email', 'email verified', 'oidc-usermodel-property-mapper'),
  ('address', 'address', 'oidc-address-mapper'), ('phone', 'phone number', 'oidc-usermodel-attribute-mapper'),
  ('phone', 'phone number verified', 'oidc-usermodel-attribute-mapper'), ('roles', 'realm roles', 'oidc-usermodel-realm-role-mapper'),
  ('roles', 'client roles', 'oidc-usermodel-client-role-mapper'), ('roles', 'audience resolve', 'oidc-audience-resolve-mapper'),
  ('web-origins', 'allowed web origins', 'oidc-allowed-origins-mapper'), ('microprofile-jwt', 'upn', 'oidc-usermodel-attribute-mapper'),
  ('microprofile-jwt', 'groups', 'oidc-usermodel-realm-role-mapper'), ('acr', 'acr loa level', 'oidc-acr-mapper'),
  ('basic', 'sub', 'oidc-sub-mapper'), ('basic', 'auth_time', 'oidc-usersessionmodel-note-mapper'),
  ('service_account', 'Client ID', 'oidc-usersessionmodel-note-mapper'), ('service_account', 'Client Host', 'oidc-usersessionmodel-note-mapper'),
  ('service_account', 'Client IP Address', 'oidc-usersessionmodel-note-mapper'), ('organization', 'organization', 'oidc-organization-membership-mapper'),
  ('role_list', 'role list', 'saml-role-list-mapper'), ('saml_organization', 'organization', 'saml-organization-membership-mapper')
) AS m(scope, name, kind) ON m.scope = s.name;

INSERT INTO public.protocol_mapper (id, name, protocol, protocol_mapper_name, client_id)
SELECT md5('mapper ' || c.id || ' ' || m.name)::uuid, m.name, 'openid-connect', m.kind, c.id
FROM public.client AS c, (VALUES ('department', 'oidc-usermodel-attribute-mapper'), ('audience', 'oidc-audience-mapper')) AS m(name, kind)
WHERE c.client_id LIKE 'app-%' AND c.protocol = 'openid-connect'
UNION ALL
SELECT md5('mapper ' || c.id || ' audience resolve')::uuid, 'audience resolve', 'openid-connect', 'oidc-audience-resolve-mapper', c.id
FROM public.client AS c WHERE c.client_id = 'account-console';

INSERT INTO public.protocol_mapper_config (protocol_mapper_id, name, value)
SELECT m.id, k.name, CASE k.name WHEN 'claim.name' THEN replace(m.name, ' ', '_')
    WHEN 'user.attribute' THEN replace(initcap(m.name), ' ', '') ELSE k.value END
FROM public.protocol_mapper AS m, (VALUES ('introspection.token.claim', 'true'), ('userinfo.token.claim', 'true'),
  ('id.token.claim', 'true'), ('access.token.claim', 'true'), ('claim.name', NULL), ('user.attribute', NULL), ('jsonType.label', 'String')) AS k(name, value)
WHERE m.protocol = 'openid-connect' AND (m.protocol_mapper_name = 'oidc-usermodel-attribute-mapper' OR k.name IN ('introspection.token.claim', 'access.token.claim'));

-- ---------------------------------------------------------------- roles

INSERT INTO public.keycloak_role (id, client_realm_constraint, client_role, description, name, realm_id, realm)
SELECT md5('role ' || r || '  ' || n)::uuid, md5('realm ' || r)::uuid, false, d, n, md5('realm ' || r)::uuid, md5('realm ' || r)::uuid
FROM (VALUES
  ('master', 'admin', '${role_admin}'), ('master', 'create-realm', '${role_create-realm}'),
  ('master', 'offline_access', '${role_offline-access}'), ('master', 'uma_authorization', '${role_uma_authorization}'),
  ('master', 'default-roles-master', '${role_default-roles}'),
  ('acme', 'offline_access', '${role_offline-access}'), ('acme', 'uma_authorization', '${role_uma_authorization}'),
  ('acme', 'default-roles-acme', '${role_default-roles}')) AS x(r, n, d)
UNION ALL   -- thirty business roles: 000 to 029
SELECT md5('role acme  business-' || lpad(i::text, 3, '0'))::uuid, md5('realm acme')::uuid, false,
  (ARRAY['Einkauf', 'Vertrieb', 'Buchhaltung', 'Entrepôt', '人事', 'Продажи', 'Öffentlichkeit', 'IT', 'Forschung', 'Direção'])[1 + i % 10] || ' Stufe ' || (i / 10),
  'business-' || lpad(i::text, 3, '0'), md5('realm acme')::uuid, md5('realm acme')::uuid
FROM generate_series(0, 29) AS i;

INSERT INTO public.keycloak_role (id, client_realm_constraint, client_role, description, name, realm_id, client)
SELECT md5('role ' || r || ' ' || c || ' ' || n)::uuid, md5('client ' || r || ' ' || c)::uuid, true, '${role_' || n || '}', n,
  md5('realm ' || r)::uuid, md5('client ' || r || ' ' || c)::uuid
FROM (
  SELECT r, c, n FROM (VALUES ('master', 'master-realm'), ('master', 'acme-realm'), ('acme', 'realm-management')) AS a(r, c),
    unnest(ARRAY['create-client', 'impersonation', 'manage-authorization', 'manage-clients', 'manage-events', 'manage-identity-providers',
      'manage-realm', 'manage-users', 'query-clients', 'query-groups', 'query-realms', 'query-users', 'view-authorization', 'view-clients',
      'view-events', 'view-identity-providers', 'view-realm', 'view-users']) AS n
  UNION ALL SELECT 'acme', 'realm-management', 'realm-admin'
  UNION ALL SELECT r, 'account', n FROM (VALUES ('master'), ('acme')) AS a(r),
    unnest(ARRAY['delete-account', 'manage-account', 'manage-account-links', 'manage-consent', 'view-applications', 'view-consent', 'view-groups', 'view-profile']) AS n
  UNION ALL SELECT r, 'broker', 'read-token' FROM (VALUES ('master'), ('acme')) AS a(r)
  UNION ALL SELECT 'acme', client_id, n FROM public.client, unnest(ARRAY['viewer', 'editor', 'auditor', 'admin']) AS n WHERE client_id LIKE 'app-%'
) AS x;

INSERT INTO public.composite_role (composite, child_role)
SELECT md5('role master  admin')::uuid, id::uuid FROM public.keycloak_role
WHERE client IN (md5('client master master-realm')::uuid::text, md5('client master acme-realm')::uuid::text) OR id = md5('role master  create-realm')::uuid::text
UNION ALL
SELECT md5('role acme realm-management realm-admin')::uuid, id::uuid FROM public.keycloak_role
WHERE client = md5('client acme realm-management')::uuid::text AND name <> 'realm-admin'
UNION ALL
SELECT md5('role ' || r || '  default-roles-' || r)::uuid, md5('role ' || r || ' ' || child)::uuid
FROM (VALUES ('master'), ('acme')) AS a(r), unnest(ARRAY[' offline_access', ' uma_authorization', 'account manage-account', 'account view-profile']) AS child
UNION ALL
SELECT md5('role ' || a.r || ' ' || p.c || ' ' || p.parent)::uuid, md5('role ' || a.r || ' ' || p.c || ' ' || p.child)::uuid
FROM (VALUES ('master'), ('acme')) AS a(r) JOIN (VALUES
  ('master', 'account', 'manage-account', 'manage-account-links'), ('master', 'account', 'manage-consent', 'view-consent'),
  ('master', 'master-realm', 'view-clients', 'query-clients'), ('master', 'master-realm', 'view-users', 'query-users'),
  ('master', 'master-realm', 'view-users', 'query-groups'), ('master', 'acme-realm', 'view-clients', 'query-clients'),
  ('master', 'acme-realm', 'view-users', 'query-users'), ('master', 'acme-realm', 'view-users', 'query-groups'),
  ('acme', 'account', 'manage-account', 'manage-account-links'), ('acme', 'account', 'manage-consent', 'view-consent'),
  ('acme', 'realm-management', 'view-clients', 'query-clients'), ('acme', 'realm-management', 'view-users', 'query-users'),
  ('acme', 'realm-management', 'view-users', 'query-groups')) AS p(r, c, parent, child) ON p.r = a.r
UNION ALL   -- in every application admin holds the other three, editor holds viewer
SELECT md5('role acme ' || client_id || ' ' || parent)::uuid, md5('role acme ' || client_id || ' ' || child)::uuid
FROM public.client, (VALUES ('admin', 'viewer'), ('admin', 'editor'), ('admin', 'auditor'), ('editor', 'viewer')) AS p(parent, child)
WHERE client_id LIKE 'app-%'
UNION ALL   -- a business role opens three applications
SELECT md5('role acme  business-' || lpad(i::text, 3, '0'))::uuid,
  md5('role acme app-' || lpad(((i * 3 + j) % 20)::text, 3, '0') || ' ' || (ARRAY['viewer', 'editor', 'auditor'])[1 + (i + j) % 3])::uuid
FROM generate_series(0, 29) AS i, generate_series(0, 2) AS j;

INSERT INTO public.role_attribute (id, role_id, name, value)
SELECT md5('role attribute ' || i)::uuid, md5('role acme  business-' || lpad(i::text, 3, '0'))::uuid, 'costCentre', 'KSt-' || (4000 + i * 10) FROM generate_series(0, 29) AS i;

INSERT INTO public.client_scope_role_mapping (scope_id, role_id)
SELECT md5('scope ' || r || ' offline_access')::uuid, md5('role ' || r || '  offline_access')::uuid FROM (VALUES ('master'), ('acme')) AS a(r);

INSERT INTO public.scope_mapping (client_id, role_id)
SELECT md5('client ' || r || ' account-console')::uuid, md5('role ' || r || ' account ' || n)::uuid
FROM (VALUES ('master'), ('acme')) AS a(r), unnest(ARRAY['manage-account', 'view-groups']) AS n
UNION ALL
SELECT id::uuid, md5('role acme ' || client_id || ' viewer')::uuid FROM public.client WHERE client_id LIKE 'app-%' AND NOT full_scope_allowed;

-- ---------------------------------------------------------------- groups and organisations

-- 8 at the top (their parent is one blank), 5 in each, 4 in each of these: 208 in all
INSERT INTO public.keycloak_group (id, name, parent_group, realm_id, type, description)
SELECT md5('group ' || a)::uuid,
  (ARRAY['Deutschland', 'France', 'Österreich', '日本', 'Україна', 'España', 'Brasil', 'USA 🇺🇸'])[a + 1], ' ', md5('realm acme')::uuid, 0, 'Landesgesellschaft ' || a
FROM generate_series(0, 7) AS a
UNION ALL
SELECT md5('group ' || a || '/' || b)::uuid, (ARRAY['Vertrieb', 'Einkauf', 'Logistik', 'IT', 'R&D'])[b + 1], md5('group ' || a)::uuid::text, md5('realm acme')::uuid, 0, NULL
FROM generate_series(0, 7) AS a, generate_series(0, 4) AS b
UNION ALL
SELECT md5('group ' || a || '/' || b || '/' || c)::uuid, 'Team ' || chr(65 + c), md5('group ' || a || '/' || b)::uuid::text, md5('realm acme')::uuid, 0, NULL
FROM generate_series(0, 7) AS a, generate_series(0, 4) AS b, generate_series(0, 3) AS c
UNION ALL   -- the hidden group behind each organisation
SELECT md5('group org ' || i)::uuid, md5('org ' || i)::uuid::text, ' ', md5('realm acme')::uuid, 1, NULL FROM generate_series(1, 3) AS i;

INSERT INTO public.group_attribute (id, name, value, group_id)
SELECT md5('group attribute ' || g.id || n)::uuid, n, CASE n WHEN 'costCentre' THEN 'KSt-' || upper(substr(g.id, 1, 6)) ELSE E'Straße\t' || substr(g.id, 1, 2) || E'\\2. OG' END, g.id
FROM public.keycloak_group AS g, unnest(ARRAY['costCentre', 'site']) AS n WHERE g.type = 0;

INSERT INTO public.group_role_mapping (role_id, group_id)
SELECT md5('role acme  business-' || lpad(((a * 5 + b) % 30)::text, 3, '0'))::uuid, md5('group ' || a || '/' || b)::uuid
FROM generate_series(0, 7) AS a, generate_series(0, 4) AS b;

INSERT INTO public.realm_default_groups (realm_id, group_id) VALUES (md5('realm acme')::uuid, md5('group 0/3')::uuid);

INSERT INTO public.org (id, enabled, realm_id, group_id, name, description, alias, redirect_url)
SELECT md5('org ' || i)::uuid, true, md5('realm acme')::uuid, md5('group org ' || i)::uuid,
  (ARRAY['Müller & Söhne GmbH', '株式会社サンプル', 'Société Exemplaire'])[i], 'Partner seit ' || (2015 + i), 'partner-' || i, 'https://partner-' || i || '.example/start'
FROM generate_series(1, 3) AS i;

INSERT INTO public.org_domain (id, name, verified, org_id)
SELECT md5('org domain ' || i || j)::uuid, 'partner-' || i || j || '.example', j = '', md5('org ' || i)::uuid
FROM generate_series(1, 3) AS i, (VALUES (''), ('-mail')) AS x(j);

-- ---------------------------------------------------------------- components: keys, registration policies, LDAP, user profile

INSERT INTO public.component (id, name, parent_id, provider_id, provider_type, realm_id, sub_type)
SELECT md5('component ' || r || ' ' || c.name || coalesce(c.sub, ''))::uuid, c.name, md5('realm ' || r)::uuid, c.provider, c.kind, md5('realm ' || r)::uuid, c.sub
FROM (VALUES ('master'), ('acme')) AS a(r), (VALUES
  ('rsa-generated', 'rsa-generated', 'org.keycloak.keys.KeyProvider', NULL),
  ('rsa-enc-generated', 'rsa-enc-generated', 'org.keycloak.keys.KeyProvider', NULL),
  ('hmac-generated-hs512', 'hmac-generated', 'org.keycloak.keys.KeyProvider', NULL),
  ('aes-generated', 'aes-generated', 'org.keycloak.keys.KeyProvider', NULL),
  ('Trusted Hosts', 'trusted-hosts', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Consent Required', 'consent-required', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Full Scope Disabled', 'scope', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Max Clients Limit', 'max-clients', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Allowed Protocol Mapper Types', 'allowed-protocol-mappers', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Allowed Client Scopes', 'allowed-client-templates', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'anonymous'),
  ('Allowed Protocol Mapper Types', 'allowed-protocol-mappers', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'authenticated'),
  ('Allowed Client Scopes', 'allowed-client-templates', 'org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy', 'authenticated'),
  (NULL, 'declarative-user-profile', 'org.keycloak.userprofile.UserProfileProvider', NULL)
) AS c(name, provider, kind, sub)
WHERE c.name IS NOT NULL
UNION ALL
SELECT md5('component ' || r || ' user profile')::uuid, NULL, md5('realm ' || r)::uuid, 'declarative-user-profile', 'org.keycloak.userprofile.UserProfileProvider', md5('realm ' || r)::uuid, NULL
FROM (VALUES ('master'), ('acme')) AS a(r)
UNION ALL
SELECT md5('component acme ldap')::uuid, 'ldap', md5('realm acme')::uuid, 'ldap', 'org.keycloak.storage.UserStorageProvider', md5('realm acme')::uuid, NULL
UNION ALL
SELECT md5('component acme ldap ' || n)::uuid, n, md5('component acme ldap')::uuid, p, 'org.keycloak.storage.ldap.mappers.LDAPStorageMapper', md5('realm acme')::uuid, NULL
FROM (VALUES ('username', 'user-attribute-ldap-mapper'), ('email', 'user-attribute-ldap-mapper'), ('first name', 'full-name-ldap-mapper'),
  ('last name', 'user-attribute-ldap-mapper'), ('creation date', 'user-attribute-ldap-mapper'), ('groups', 'group-ldap-mapper')) AS m(n, p);

INSERT INTO public.component_config (id, component_id, name, value)
SELECT md5('config ' || c.id || k.name || coalesce(k.value, ''))::uuid, c.id, k.name, CASE
    WHEN k.name = 'privateKey' THEN 'MIIEpAIBAAKCAQEA' || (SELECT replace(encode(string_agg(sha512((c.id || 'key' || i)::bytea), ''::bytea ORDER BY i), 'base64'), E'\n', '') FROM generate_series(1, 18) AS i)
    WHEN k.name = 'certificate' THEN 'MIICmTCCAYECBgGZ' || (SELECT replace(encode(string_agg(sha512((c.id || 'cert' || i)::bytea), ''::bytea ORDER BY i), 'base64'), E'\n', '') FROM generate_series(1, 10) AS i)
    WHEN k.name = 'secret' THEN translate(replace(encode(sha512((c.id || 'secret')::bytea), 'base64'), E'\n', ''), '+/=', '-_')
    WHEN k.name = 'kid' THEN md5('kid ' || c.id)::uuid::text
    ELSE k.value END
FROM public.component AS c JOIN (VALUES
  ('rsa-generated', 'privateKey', NULL), ('rsa-generated', 'certificate', NULL), ('rsa-generated', 'keyUse', 'SIG'), ('rsa-generated', 'priority', '100'),
  ('rsa-enc-generated', 'privateKey', NULL), ('rsa-enc-generated', 'certificate', NULL), ('rsa-enc-generated', 'keyUse', 'ENC'),
  ('rsa-enc-generated', 'algorithm', 'RSA-OAEP'), ('rsa-enc-generated', 'priority', '100'),
  ('hmac-generated', 'secret', NULL), ('hmac-generated', 'kid', NULL), ('hmac-generated', 'algorithm', 'HS512'), ('hmac-generated', 'priority', '100'),
  ('aes-generated', 'secret', NULL), ('aes-generated', 'kid', NULL), ('aes-generated', 'priority', '100'),
  ('trusted-hosts', 'host-sending-registration-request-must-match', 'true'), ('trusted-hosts', 'client-uris-must-match', 'true'),
  ('max-clients', 'max-clients', '200'), ('allowed-client-templates', 'allow-default-scopes', 'true'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'oidc-address-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'oidc-full-name-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'oidc-sha256-pairwise-sub-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'oidc-usermodel-attribute-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'oidc-usermodel-property-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'saml-role-list-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'saml-user-attribute-mapper'),
  ('allowed-protocol-mappers', 'allowed-protocol-mapper-types', 'saml-user-property-mapper'),
  ('declarative-user-profile', 'kc.user.profile.config', '{"attributes":[{"name":"username","displayName":"${username}","validations":{"length":{"min":3,"max":255},"username-prohibited-characters":{},"up-username-not-idn-homograph":{}},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"email","displayName":"${email}","validations":{"email":{},"length":{"max":255}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"firstName","displayName":"${firstName}","validations":{"length":{"max":255},"person-name-prohibited-characters":{}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false},{"name":"lastName","displayName":"${lastName}","validations":{"length":{"max":255},"person-name-prohibited-characters":{}},"required":{"roles":["user"]},"permissions":{"view":["admin","user"],"edit":["admin","user"]},"multivalued":false}],"groups":[{"name":"user-metadata","displayHeader":"User metadata","displayDescription":"Attributes, which refer to user metadata"}],"unmanagedAttributePolicy":"ENABLED"}'),
  ('ldap', 'connectionUrl', 'ldaps://ldap.acme.example'), ('ldap', 'bindDn', 'cn=keycloak,ou=dienste,dc=acme,dc=example'),
  ('ldap', 'bindCredential', 'not-a-real-bind-password'), ('ldap', 'usersDn', 'ou=personen,dc=acme,dc=example'), ('ldap', 'vendor', 'other'),
  ('ldap', 'editMode', 'READ_ONLY'), ('ldap', 'importEnabled', 'false'), ('ldap', 'enabled', 'true'), ('ldap', 'priority', '0'),
  ('ldap', 'batchSizeForSync', '1000'), ('ldap', 'fullSyncPeriod', '-1'), ('ldap', 'cachePolicy', 'DEFAULT'), ('ldap', 'lastSync', '1792000000'),
  ('user-attribute-ldap-mapper', 'read.only', 'true'), ('user-attribute-ldap-mapper', 'always.read.value.from.ldap', 'false'),
  ('user-attribute-ldap-mapper', 'is.mandatory.in.ldap', 'true'), ('group-ldap-mapper', 'groups.dn', 'ou=gruppen,dc=acme,dc=example'),
  ('group-ldap-mapper', 'mode', 'READ_ONLY'), ('full-name-ldap-mapper', 'ldap.full.name.attribute', 'cn')
) AS k(provider, name, value) ON k.provider = c.provider_id;

-- ---------------------------------------------------------------- identity providers

INSERT INTO public.identity_provider (internal_id, enabled, provider_alias, provider_id, store_token, realm_id, trust_email,
  first_broker_login_flow_id, provider_display_name, link_only, organization_id, hide_on_login)
SELECT md5('idp ' || alias)::uuid, true, alias, kind, alias = 'github', md5('realm acme')::uuid, alias = 'google',
  md5('flow acme first broker login')::uuid, title, false, md5('org ' || org)::uuid, alias = 'partner'
FROM (VALUES ('google', 'google', 'Google', NULL), ('github', 'github', 'GitHub', NULL), ('konzern', 'oidc', 'Konzern-Anmeldung (Zürich)', NULL), ('partner', 'saml', 'Partner', '1')) AS i(alias, kind, title, org);

INSERT INTO public.identity_provider_config (identity_provider_id, name, value)
SELECT md5('idp ' || i.alias)::uuid, k.name, CASE k.name WHEN 'clientId' THEN md5('idp client ' || i.alias) || '.apps.example'
    WHEN 'clientSecret' THEN 'FAKE-' || translate(encode(sha256(('idp ' || i.alias)::bytea), 'base64'), '+/=', '-_')
    WHEN 'tokenUrl' THEN 'https://' || i.alias || '.example/oauth2/token' WHEN 'authorizationUrl' THEN 'https://' || i.alias || '.example/oauth2/auth' ELSE k.value END
FROM (VALUES ('google'), ('github'), ('konzern'), ('partner')) AS i(alias),
     (VALUES ('clientId', NULL), ('clientSecret', NULL), ('tokenUrl', NULL), ('authorizationUrl', NULL), ('syncMode', 'IMPORT'), ('useJwksUrl', 'true'), ('guiOrder', '1')) AS k(name, value);

INSERT INTO public.identity_provider_mapper (id, name, idp_alias, idp_mapper_name, realm_id)
SELECT md5('idp mapper ' || a || n)::uuid, n, a, k, md5('realm acme')::uuid
FROM (VALUES ('google'), ('github'), ('konzern')) AS i(a), (VALUES ('picture', 'oidc-user-attribute-idp-mapper'), ('role', 'oidc-hardcoded-role-idp-mapper')) AS m(n, k);

INSERT INTO public.idp_mapper_config (idp_mapper_id, name, value)
SELECT m.id, k.name, k.value FROM public.identity_provider_mapper AS m JOIN (VALUES ('picture', 'claim', 'picture'), ('picture', 'user.attribute', 'picture'), ('picture', 'syncMode', 'FORCE'),
  ('role', 'role', 'business-005'), ('role', 'syncMode', 'INHERIT')) AS k(mapper, name, value) ON k.mapper = m.name;

-- ---------------------------------------------------------------- authorization services of app-001

INSERT INTO public.resource_server (id, allow_rs_remote_mgmt, policy_enforce_mode, decision_strategy) VALUES (md5('client acme app-001')::uuid, true, 0, 1);

INSERT INTO public.resource_server_scope (id, name, resource_server_id, display_name)
SELECT md5('rs scope ' || s)::uuid, s, md5('client acme app-001')::uuid, initcap(s) FROM unnest(ARRAY['read', 'write', 'delete', 'share']) AS s;

INSERT INTO public.resource_server_resource (id, name, type, owner, resource_server_id, owner_managed_access, display_name)
SELECT md5('rs resource ' || i)::uuid, 'Dokument ' || i, 'urn:app-001:resources:doc', md5('client acme app-001')::uuid, md5('client acme app-001')::uuid, i % 2 = 0, 'Akte „' || i || '“'
FROM generate_series(1, 60) AS i;

INSERT INTO public.resource_uris (resource_id, value) SELECT md5('rs resource ' || i)::uuid, '/documents/' || i || '/*' FROM generate_series(1, 60) AS i;
INSERT INTO public.resource_attribute (id, name, value, resource_id) SELECT md5('rs attribute ' || i)::uuid, 'classification', (ARRAY['öffentlich', 'intern', 'geheim'])[1 + i % 3], md5('rs resource ' || i)::uuid FROM generate_series(1, 60) AS i;
INSERT INTO public.resource_scope (resource_id, scope_id) SELECT md5('rs resource ' || i)::uuid, md5('rs scope ' || s)::uuid FROM generate_series(1, 60) AS i, unnest(ARRAY['read', 'write']) AS s;

INSERT INTO public.resource_server_policy (id, name, description, type, decision_strategy, logic, resource_server_id)
SELECT md5('rs policy ' || i)::uuid, CASE WHEN i <= 6 THEN 'Policy ' ELSE 'Permission ' END || i, 'Regel Nr. ' || i, CASE WHEN i <= 6 THEN 'role' WHEN i <= 18 THEN 'resource' ELSE 'scope' END, 1, 0, md5('client acme app-001')::uuid
FROM generate_series(1, 22) AS i;

INSERT INTO public.policy_config (policy_id, name, value)
SELECT md5('rs policy ' || i)::uuid, 'roles', '[{"id":"' || md5('role acme  business-' || lpad(i::text, 3, '0'))::uuid || '","required":' || (i % 2 = 0) || '}]' FROM generate_series(1, 6) AS i;

INSERT INTO public.associated_policy (policy_id, associated_policy_id) SELECT md5('rs policy ' || i)::uuid, md5('rs policy ' || (1 + i % 6))::uuid FROM generate_series(7, 22) AS i;
INSERT INTO public.resource_policy (resource_id, policy_id) SELECT md5('rs resource ' || i)::uuid, md5('rs policy ' || (7 + i % 12))::uuid FROM generate_series(1, 60) AS i;
INSERT INTO public.scope_policy (scope_id, policy_id) SELECT md5('rs scope ' || s)::uuid, md5('rs policy ' || (18 + o))::uuid FROM unnest(ARRAY['read', 'write', 'delete', 'share']) WITH ORDINALITY AS x(s, o);

INSERT INTO public.resource_server_perm_ticket (id, owner, requester, created_timestamp, granted_timestamp, resource_id, scope_id, resource_server_id, policy_id)
SELECT md5('rs ticket ' || i)::uuid, md5('user ' || (1 + i % 40))::uuid, md5('user ' || (41 + i % 40))::uuid, (1791000000 + i)::bigint * 1000, CASE WHEN i % 3 = 0 THEN (1791100000 + i)::bigint * 1000 END,
  md5('rs resource ' || (1 + i % 60))::uuid, md5('rs scope read')::uuid, md5('client acme app-001')::uuid, NULL
FROM generate_series(1, 120) AS i;

-- ---------------------------------------------------------------- users

INSERT INTO public.user_entity (id, email, email_constraint, email_verified, enabled, first_name, last_name, realm_id, username, created_timestamp)
VALUES (md5('user admin')::uuid, 'admin@acme.example', 'admin@acme.example', true, true, 'Admin', 'Istrator', md5('realm master')::uuid, 'admin', 1728950400123);

INSERT INTO public.user_entity (id, email_constraint, enabled, realm_id, username, created_timestamp, service_account_client_link)
SELECT md5('service account ' || client_id)::uuid, md5('no mail ' || client_id)::uuid, true, realm_id, 'service-account-' || client_id, 1728950400456, id
FROM public.client WHERE service_accounts_enabled;

INSERT INTO public.user_entity (id, email, email_constraint, email_verified, enabled, federation_link, first_name, last_name, realm_id, username, created_timestamp, not_before)
SELECT md5('user ' || n)::uuid, mail, coalesce(mail, md5('no mail ' || n)::uuid::text), n % 9 <> 0, n % 41 <> 0,
  CASE WHEN n % 100 = 99 THEN md5('component acme ldap')::uuid::text END,
  CASE WHEN n % 53 = 0 THEN U&'Rene\0301e' ELSE (ARRAY['José', 'Zoë', 'Łukasz', 'Søren', '美咲', 'Наталья', 'Αθηνά', 'محمد', 'Ángela', 'Anne-Marie', 'Björn', 'François', 'Gül', 'İpek',
    'Jürgen', 'Kateřina', 'Siân', 'Tomáš', 'Ümit', 'Ann', 'Robert', 'Carol', 'David', 'Elisabeth', 'Friedrich', 'Grace', 'Hannah', 'Ingrid', 'Jonas'])[f] END,
  CASE WHEN n % 97 = 0 THEN '🦊 Fuchs' ELSE (ARRAY['Müller', 'Schmidt', 'Groß', 'O''Brien', 'Núñez', '田中', 'Іваненко', 'Παπαδόπουλος', 'الحسن', 'Dvořák', 'Lindqvist', 'Kowalska',
    'Nguyễn', 'da Silva', 'van der Berg', 'Smith', 'Johnson', 'Weber', 'Fischer', 'Becker', 'Hoffmann', 'Schäfer', 'Koch'])[l] END,
  realm, CASE WHEN n % 211 = 0 THEN 'имя.' || n ELSE login END,
  (1792022400 - 63072000 + h % 60000000) * 1000 + n % 1000, 0
FROM (
  SELECT n, h, f, l, realm, login, CASE WHEN n % 29 <> 0 THEN login || '@' || (ARRAY['acme.example', 'mail.example', 'partner-1.example', 'post.example'])[1 + n % 4] END AS mail
  FROM (
    SELECT n, h, f, l, md5('realm acme')::uuid AS realm,
      (ARRAY['jose', 'zoe', 'lukasz', 'soren', 'misaki', 'natalia', 'athina', 'mohammed', 'angela', 'anne-marie', 'bjoern', 'francois', 'guel', 'ipek', 'juergen', 'katerina', 'sian', 'tomas',
        'uemit', 'ann', 'robert', 'carol', 'david', 'elisabeth', 'friedrich', 'grace', 'hannah', 'ingrid', 'jonas'])[f] || '.' ||
      (ARRAY['mueller', 'schmidt', 'gross', 'obrien', 'nunez', 'tanaka', 'ivanenko', 'papadopoulos', 'alhasan', 'dvorak', 'lindqvist', 'kowalska', 'nguyen', 'dasilva', 'vanderberg', 'smith',
        'johnson', 'weber', 'fischer', 'becker', 'hoffmann', 'schaefer', 'koch'])[l] || n AS login
    FROM (SELECT n, h, (1 + h % 29)::int AS f, (1 + (h / 29) % 23)::int AS l FROM (SELECT n, n * 2654435761 % 4294967296 AS h FROM generate_series(1, :users) AS n) AS a) AS b
  ) AS c
) AS d;

INSERT INTO public.credential (id, type, user_id, created_date, secret_data, credential_data, priority)
SELECT md5('password ' || n)::uuid, 'password', md5('user ' || n)::uuid, (1792022400 - 63072000 + n * 2654435761 % 4294967296 % 60000000) * 1000 + n % 997,
  '{"value":"' || CASE WHEN n % 12 = 0 THEN replace(encode(sha512(('value ' || n)::bytea), 'base64'), E'\n', '') ELSE encode(sha256(('value ' || n)::bytea), 'base64') END ||
  '","salt":"' || encode(decode(md5('salt ' || n), 'hex'), 'base64') || '","additionalParameters":{}}',
  CASE WHEN n % 12 = 0 THEN '{"hashIterations":210000,"algorithm":"pbkdf2-sha512","additionalParameters":{}}'
       ELSE '{"hashIterations":5,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["7168"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}' END, 10
FROM generate_series(1, :users) AS n
UNION ALL
SELECT md5('password admin')::uuid, 'password', md5('user admin')::uuid, 1728950401000,
  '{"value":"' || encode(sha256('value admin'::bytea), 'base64') || '","salt":"' || encode(decode(md5('salt admin'), 'hex'), 'base64') || '","additionalParameters":{}}',
  '{"hashIterations":5,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["7168"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}', 10;

INSERT INTO public.credential (id, type, user_id, created_date, user_label, secret_data, credential_data, priority)
SELECT md5('otp ' || n)::uuid, 'otp', md5('user ' || n)::uuid, (1780000000 + n)::bigint * 1000, (ARRAY['Handy', 'téléphone', '📱', 'iPhone von n'])[1 + n / 8 % 4],
  '{"value":"' || upper(translate(md5('otp secret ' || n), '0189', 'wxyz')) || '"}',
  '{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1","secretEncoding":null}', 20
FROM generate_series(8, :users, 8) AS n
UNION ALL
SELECT md5('webauthn ' || n)::uuid, CASE WHEN n % 100 = 0 THEN 'webauthn-passwordless' ELSE 'webauthn' END, md5('user ' || n)::uuid, (1785000000 + n)::bigint * 1000, 'YubiKey ' || n, '{}',
  '{"aaguid":"' || md5('aaguid ' || n % 7)::uuid || '","credentialId":"' || replace(encode(sha512(('cred ' || n)::bytea), 'base64'), E'\n', '') || '","counter":' || n % 90 ||
  ',"attestationStatementFormat":"none","credentialPublicKey":"pQECAyYgASFYI' || translate(encode(sha256(('x ' || n)::bytea), 'base64') || encode(sha256(('y ' || n)::bytea), 'base64'), '+/=', '-_') || '","transports":["internal","hybrid"]}', 30
FROM generate_series(50, :users, 50) AS n;

-- one to five attributes a user; the fourth holds tabs, backslashes and newlines
INSERT INTO public.user_attribute (id, name, value, user_id)
SELECT md5('attribute ' || n || ' ' || k)::uuid, (ARRAY['phoneNumber', 'department', 'locale', 'note', 'preferences'])[k],
  CASE k WHEN 1 THEN '+49 30 ' || lpad((h % 10000000)::text, 7, '0')
         WHEN 2 THEN (ARRAY['Vertrieb', 'Öffentlichkeitsarbeit', 'Développement', '人事部', 'Бухгалтерія', 'تطوير', 'R&D <Labor>', 'Logistik "Süd"', 'I+D 🚀'])[1 + n % 9]
         WHEN 3 THEN (ARRAY['de', 'en', 'fr', 'ja', 'pt-BR', 'uk', 'ar'])[1 + n % 7]
         WHEN 4 THEN CASE n % 5 WHEN 0 THEN E'C:\\Users\\u' || n || E'\\new\\tab' WHEN 1 THEN E'Zeile eins\nZeile zwei: ' || n || E'\r\nEnde' WHEN 2 THEN E'a\tb\t' || n || E'\tc'
                                WHEN 3 THEN E'\\N und \\. und ' || n || E' ''"; DROP' ELSE E' \\' END
         ELSE '{"theme":"' || (ARRAY['dark', 'light', 'system'])[1 + n % 3] || '","device":"' || md5('device ' || n) || '","seen":' || (1792022400 - h % 7776000) || '}' END,
  md5('user ' || n)::uuid
FROM (SELECT n, n * 2654435761 % 4294967296 AS h FROM generate_series(1, :users) AS n) AS u, generate_series(1, 1 + (h % 5)::int) AS k;

-- every tenth user: a text over 255 characters, kept as long_value with the SHA-512 of it and of its lower case
INSERT INTO public.user_attribute (id, name, value, user_id, long_value, long_value_hash, long_value_hash_lower_case)
SELECT md5('biography ' || n)::uuid, 'biography', NULL, md5('user ' || n)::uuid, t, sha512(convert_to(t, 'UTF8')), sha512(convert_to(lower(t), 'UTF8'))
FROM generate_series(3, :users, 10) AS n CROSS JOIN LATERAL (
  SELECT 'Bio ' || n || ': ' || string_agg(w[1 + (n::bigint * 48271 + i * 16807 + i * i * n::bigint % 7919) % 32], ' ' ORDER BY i) AS t
  FROM generate_series(1, 60 + n % 90 + CASE WHEN n % 200 = 3 THEN 900 ELSE 0 END) AS i,
       (SELECT ARRAY['geboren', 'in', 'Köln', 'und', 'seit', 'zwanzig', 'Jahren', 'verantwortlich', 'for', 'the', 'northern', 'region', 'café', 'naïve', 'coöperatie', '東京', 'で', '働いています',
          'работает', 'с', 'клиентами', '🚲', 'fährt', 'gern', 'Rad;', 'liest,', 'sings', '"Bach"', E'\\o/', E'\n', 'Team', 'ABC']) AS v(w)
) AS x;

INSERT INTO public.user_role_mapping (role_id, user_id)
SELECT md5('role acme  default-roles-acme')::uuid, md5('user ' || n)::uuid FROM generate_series(1, :users) AS n
UNION ALL
SELECT md5('role acme  business-' || lpad(((n * 7 + j * 11) % 30)::text, 3, '0'))::uuid, md5('user ' || n)::uuid FROM generate_series(1, :users) AS n, generate_series(1, n % 3) AS j
UNION ALL
SELECT md5('role acme app-' || lpad((n % 20)::text, 3, '0') || ' ' || (ARRAY['viewer', 'editor', 'auditor', 'admin'])[1 + n % 4])::uuid, md5('user ' || n)::uuid FROM generate_series(5, :users, 5) AS n
UNION ALL
SELECT md5('role acme  default-roles-acme')::uuid, id::uuid FROM public.user_entity WHERE service_account_client_link IS NOT NULL
UNION ALL
SELECT md5('role master  ' || r)::uuid, md5('user admin')::uuid FROM (VALUES ('admin'), ('default-roles-master')) AS a(r);

INSERT INTO public.user_group_membership (group_id, user_id, membership_type)
SELECT md5('group ' || h % 8 || '/' || h / 8 % 5 || '/' || h / 40 % 4)::uuid, md5('user ' || n)::uuid, 'UNMANAGED' FROM (SELECT n, n * 2654435761 % 4294967296 AS h FROM generate_series(1, :users) AS n) AS u
UNION ALL
SELECT md5('group ' || n / 4 % 8 || '/' || n / 32 % 5)::uuid, md5('user ' || n)::uuid, 'UNMANAGED' FROM generate_series(4, :users, 4) AS n
UNION ALL
SELECT md5('group org ' || (1 + n % 3))::uuid, md5('user ' || n)::uuid, CASE WHEN n % 2 = 0 THEN 'MANAGED' ELSE 'UNMANAGED' END FROM generate_series(40, :users, 40) AS n;

INSERT INTO public.user_required_action (user_id, required_action)
SELECT md5('user ' || n)::uuid, (ARRAY['UPDATE_PASSWORD', 'VERIFY_EMAIL', 'CONFIGURE_TOTP'])[1 + n % 3] FROM generate_series(47, :users, 47) AS n;

INSERT INTO public.user_consent (id, client_id, user_id, created_date, last_updated_date)
SELECT md5('consent ' || n)::uuid, md5('client acme app-004')::uuid, md5('user ' || n)::uuid, (1785000000 + n)::bigint * 1000, (1786000000 + n)::bigint * 1000 FROM generate_series(31, :users, 31) AS n;

INSERT INTO public.user_consent_client_scope (user_consent_id, scope_id)
SELECT md5('consent ' || n)::uuid, md5('scope acme ' || s)::uuid FROM generate_series(31, :users, 31) AS n, unnest(ARRAY['profile', 'email']) AS s;

INSERT INTO public.federated_identity (identity_provider, realm_id, federated_user_id, federated_username, token, user_id)
SELECT (ARRAY['google', 'github', 'konzern'])[1 + n / 6 % 3], md5('realm acme')::uuid, (100000000000000000 + n * 2654435761 % 4294967296 * 20011)::text, 'ext.' || substr(md5('federated ' || n), 1, 10),
  CASE WHEN n / 6 % 3 = 1 THEN '{"access_token":"gho_' || translate(replace(encode(sha512(('token ' || n)::bytea), 'base64'), E'\n', ''), '+/=', 'abc') || '","token_type":"bearer","scope":"user:email"}' END,
  md5('user ' || n)::uuid
FROM generate_series(6, :users, 6) AS n;

-- users that stay in LDAP (importEnabled=false): their id is f:COMPONENT:NAME
INSERT INTO public.federated_user (id, storage_provider_id, realm_id)
SELECT 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('component acme ldap')::uuid, md5('realm acme')::uuid FROM generate_series(1, 20 + :users / 200) AS n;

INSERT INTO public.fed_user_attribute (id, name, user_id, realm_id, storage_provider_id, value, long_value, long_value_hash, long_value_hash_lower_case)
SELECT md5('fed attribute ' || n)::uuid, 'notizen', 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid,
  CASE WHEN length(t) <= 2024 THEN t END, CASE WHEN length(t) > 2024 THEN t END,
  CASE WHEN length(t) > 2024 THEN sha512(convert_to(t, 'UTF8')) END, CASE WHEN length(t) > 2024 THEN sha512(convert_to(lower(t), 'UTF8')) END
FROM generate_series(1, 20 + :users / 200) AS n CROSS JOIN LATERAL (
  SELECT string_agg('größe ' || md5('fed ' || n || i), E'\n' ORDER BY i) AS t FROM generate_series(1, 1 + n % 5 + CASE WHEN n % 10 = 0 THEN 60 ELSE 0 END) AS i) AS x;

INSERT INTO public.fed_user_credential (id, type, created_date, user_id, realm_id, storage_provider_id, user_label, secret_data, credential_data, priority)
SELECT md5('fed otp ' || n)::uuid, 'otp', (1780000000 + n)::bigint * 1000, 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid, 'Token',
  '{"value":"' || upper(translate(md5('fed otp ' || n), '0189', 'wxyz')) || '"}', '{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1","secretEncoding":null}', 10
FROM generate_series(2, 20 + :users / 200, 2) AS n;

INSERT INTO public.fed_user_consent (id, client_id, user_id, realm_id, storage_provider_id, created_date, last_updated_date)
SELECT md5('fed consent ' || n)::uuid, md5('client acme app-004')::uuid, 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid, (1785000000 + n)::bigint * 1000, (1786000000 + n)::bigint * 1000
FROM generate_series(3, 20 + :users / 200, 3) AS n;

INSERT INTO public.fed_user_consent_cl_scope (user_consent_id, scope_id)
SELECT md5('fed consent ' || n)::uuid, md5('scope acme profile')::uuid FROM generate_series(3, 20 + :users / 200, 3) AS n;

INSERT INTO public.fed_user_group_membership (group_id, user_id, realm_id, storage_provider_id)
SELECT md5('group ' || n % 8)::uuid, 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid FROM generate_series(1, 20 + :users / 200) AS n;

INSERT INTO public.fed_user_role_mapping (role_id, user_id, realm_id, storage_provider_id)
SELECT md5('role acme  default-roles-acme')::uuid, 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid FROM generate_series(1, 20 + :users / 200) AS n;

INSERT INTO public.fed_user_required_action (required_action, user_id, realm_id, storage_provider_id)
SELECT 'CONFIGURE_TOTP', 'f:' || md5('component acme ldap')::uuid || ':ldap' || n, md5('realm acme')::uuid, md5('component acme ldap')::uuid FROM generate_series(7, 20 + :users / 200, 7) AS n;

INSERT INTO public.broker_link (identity_provider, storage_provider_id, realm_id, broker_user_id, broker_username, token, user_id)
SELECT 'konzern', md5('component acme ldap')::uuid, md5('realm acme')::uuid, md5('broker user ' || n), 'konzern.' || n, NULL, 'f:' || md5('component acme ldap')::uuid || ':ldap' || n
FROM generate_series(5, 20 + :users / 200, 5) AS n;

-- ---------------------------------------------------------------- sessions: three users in five; flag 0 = online, 1 = offline

INSERT INTO public.offline_user_session (user_session_id, user_id, realm_id, created_on, offline_flag, data, last_session_refresh, broker_session_id, version)
SELECT md5('session ' || n)::uuid, md5('user ' || n)::uuid, md5('realm acme')::uuid, started, CASE WHEN n % 10 = 0 THEN '1' ELSE '0' END,
  '{"ipAddress":"' || ip || '","authMethod":"openid-connect","rememberMe":' || (n % 4 = 0) || ',"started":' || started || ',"loginUsername":"user' || n || '@acme.example","notes":{"KC_DEVICE_NOTE":"' ||
  replace(encode(convert_to('{"ipAddress":"' || ip || '","os":"' || (ARRAY['Windows', 'Mac OS X', 'Android', 'iOS', 'Linux'])[1 + n % 5] || '","osVersion":"' || 10 + n % 5 || '","browser":"' ||
    (ARRAY['Chrome/141.0.0', 'Firefox/143.0', 'Safari/26.0', 'Edge/141.0.0'])[1 + n % 4] || '","device":"' || (ARRAY['Other', 'Mac', 'iPhone'])[1 + n % 3] || '","lastAccess":0,"mobile":' || (n % 5 IN (2, 3)) || '}', 'UTF8'), 'base64'), E'\n', '') ||
  '","AUTH_TIME":"' || started || '","authenticators-completed":"{\"' || md5('execution acme forms 10')::uuid || '\":' || started || CASE WHEN n % 8 = 0 THEN ',\"' || md5('execution acme Browser - Conditional 2FA 30')::uuid || '\":' || started + 9 ELSE '' END ||
  '}"' || CASE WHEN n % 6 = 0 THEN ',"identity_provider":"' || (ARRAY['google', 'github', 'konzern'])[1 + n / 6 % 3] || '","identity_provider_identity":"ext.' || substr(md5('federated ' || n), 1, 10) || '"' ELSE '' END || '},"state":"LOGGED_IN"}',
  started + h % 20000, CASE WHEN n % 6 = 0 THEN (ARRAY['google', 'github', 'konzern'])[1 + n / 6 % 3] || '.' || md5('broker session ' || n)::uuid END, n % 7
FROM (
  SELECT n, h, (1792022400 - 60000 - h % 2500000)::int AS started, '10.' || h % 200 || '.' || h / 200 % 250 || '.' || 1 + h / 50000 % 250 AS ip
  FROM (SELECT n, n * 2654435761 % 4294967296 AS h FROM generate_series(1, :users) AS n WHERE n % 5 IN (0, 2, 3)) AS a
) AS s;

INSERT INTO public.offline_client_session (user_session_id, client_id, offline_flag, "timestamp", data, version)
SELECT md5('session ' || n)::uuid, client, CASE WHEN n % 10 = 0 THEN '1' ELSE '0' END, started + 1 + h % 20000,
  '{"authMethod":"openid-connect","redirectUri":"https://' || app || '.acme.example/callback","notes":{"clientId":"' || client || '","scope":"openid profile email' || CASE WHEN n % 10 = 0 THEN ' offline_access' ELSE '' END ||
  '","userSessionStartedAt":"' || started || '","iss":"https://sso.acme.example/realms/acme","startedAt":"' || started + 1 || '","response_type":"code","level-of-authentication":"-1","redirect_uri":"https://' || app ||
  '.acme.example/callback","state":"' || md5('state ' || n || k)::uuid || '","nonce":"' || md5('nonce ' || n || k)::uuid || '","code_challenge_method":"S256","SSO_AUTH":"' || (k = 2) || '"}}', n % 5
FROM (
  SELECT n, h, k, started, app, md5('client acme ' || app)::uuid AS client
  FROM (SELECT n, n * 2654435761 % 4294967296 AS h, (1792022400 - 60000 - n * 2654435761 % 4294967296 % 2500000)::int AS started FROM generate_series(1, :users) AS n WHERE n % 5 IN (0, 2, 3)) AS a
    CROSS JOIN LATERAL (SELECT k, 'app-' || lpad(((n + k * 7) % 20)::text, 3, '0') AS app FROM generate_series(1, CASE WHEN n % 6 = 0 THEN 2 ELSE 1 END) AS k) AS b
) AS s;

INSERT INTO public.revoked_token (id, expire)
SELECT md5('revoked ' || i)::uuid, 1792022400 - i * 37 % 86400 FROM generate_series(1, 20 + :users / 50) AS i;

-- ---------------------------------------------------------------- events: six a user, in the order of time, over 90 days

INSERT INTO public.event_entity (id, client_id, details_json, error, ip_address, realm_id, session_id, event_time, type, user_id, details_json_long_value)
SELECT md5('event ' || g)::uuid, app,
  CASE WHEN g % 4999 <> 0 THEN d END,
  CASE kind WHEN 'LOGIN_ERROR' THEN CASE WHEN g % 3 = 0 THEN 'user_not_found' ELSE 'invalid_user_credentials' END END,
  CASE WHEN g % 11 = 0 THEN '2001:db8:' || to_hex(h % 65536) || '::' || to_hex(h / 65536) ELSE '10.' || h % 200 || '.' || h / 200 % 250 || '.' || 1 + h / 50000 % 250 END,
  realm, CASE WHEN kind <> 'LOGIN_ERROR' THEN session END, 1784246400000 + (g * 7775000000) / (:users::bigint * 6) + h % 500, kind,
  CASE WHEN kind = 'LOGIN_ERROR' AND g % 3 = 0 THEN NULL ELSE md5('user ' || n)::uuid END,
  CASE WHEN g % 4999 = 0 THEN left(d, -1) || ',"requested_claims":"' || repeat(session || md5('claim ' || g), 45) || '"}' END
FROM (
  SELECT g, h, n, realm, session, app, kind, CASE
    WHEN kind = 'LOGIN' THEN '{"auth_method":"openid-connect","auth_type":"code","response_type":"code","redirect_uri":"https://' || app || '.acme.example/callback","consent":"no_consent_required","code_id":"' || session || '","username":"user' || n || '@acme.example","remember_me":"' || (n % 4 = 0) || '"}'
    WHEN kind = 'CODE_TO_TOKEN' THEN '{"token_id":"onrtac:' || md5('token ' || g)::uuid || '","grant_type":"authorization_code","refresh_token_type":"Refresh","scope":"openid profile email","refresh_token_id":"' || md5('refresh ' || g)::uuid || '","code_id":"' || session || '","client_auth_method":"client-secret"}'
    WHEN kind = 'REFRESH_TOKEN' THEN '{"token_id":"onrtrt:' || md5('token ' || g)::uuid || '","grant_type":"refresh_token","refresh_token_type":"Refresh","access_token_expiration_time":"300","updated_refresh_token_id":"' || md5('refresh ' || g)::uuid || '","scope":"openid profile email","refresh_token_id":"' || md5('older ' || g)::uuid || '","client_auth_method":"client-secret"}'
    WHEN kind = 'LOGOUT' THEN '{"redirect_uri":"https://' || app || '.acme.example/bye"}'
    WHEN kind = 'LOGIN_ERROR' THEN '{"auth_method":"openid-connect","auth_type":"code","redirect_uri":"https://' || app || '.acme.example/callback","code_id":"' || session || '","username":"user' || n || '"}'
    ELSE '{"custom_required_action":"UPDATE_PROFILE","context":"ACCOUNT","previous_first_name":"Jürgen","updated_first_name":"Jörg 🦊","auth_method":"openid-connect","previous_email":"alt' || n || '@acme.example","updated_email":"neu' || n || '@acme.example"}' END AS d
  FROM (
    SELECT g, h, n, md5('realm acme')::uuid AS realm, md5('session ' || n)::uuid::text AS session, 'app-' || lpad((n % 20)::text, 3, '0') AS app,
      (ARRAY['LOGIN', 'LOGIN', 'LOGIN', 'LOGIN', 'LOGIN', 'LOGIN', 'CODE_TO_TOKEN', 'CODE_TO_TOKEN', 'CODE_TO_TOKEN', 'CODE_TO_TOKEN', 'CODE_TO_TOKEN', 'REFRESH_TOKEN', 'REFRESH_TOKEN', 'REFRESH_TOKEN', 'REFRESH_TOKEN', 'REFRESH_TOKEN', 'LOGOUT', 'LOGOUT', 'LOGIN_ERROR', 'UPDATE_PROFILE'])[1 + h / 7 % 20] AS kind
    FROM (SELECT g, g * 2654435761 % 4294967296 AS h, (1 + g * 2654435761 % 4294967296 % :users)::int AS n FROM generate_series(1, :users::bigint * 6) AS g) AS a
  ) AS b
) AS c;

-- admin events: one for twenty users; representations of 0.5 to 8 kB, one in fifty of 60 to 100 kB
INSERT INTO public.admin_event_entity (id, admin_event_time, realm_id, operation_type, auth_realm_id, auth_client_id, auth_user_id, ip_address, resource_path, representation, resource_type, details_json)
SELECT md5('admin event ' || g)::uuid, 1784246400000 + (g * 7775000000) / (100 + :users / 20) + g % 1000, md5('realm acme')::uuid, (ARRAY['UPDATE', 'CREATE', 'UPDATE', 'ACTION', 'DELETE'])[1 + g % 5],
  md5('realm master')::uuid, md5('client master security-admin-console')::uuid, md5('user admin')::uuid, '10.0.0.' || g % 20,
  (ARRAY['users/', 'clients/', 'groups/', 'roles-by-id/', 'components/'])[1 + g % 5] || md5('user ' || 1 + g * 17 % :users)::uuid,
  CASE WHEN g % 5 <> 4 THEN
    (SELECT '{"id":"' || md5('user ' || 1 + g * 17 % :users)::uuid || '","username":"user' || g || '","firstName":"Zoë","attributes":{' ||
       string_agg('"attribute' || i || '":["' || md5('value ' || g || ' ' || i)::uuid || '","' || (ARRAY['größer', 'kleiner', '人事部', 'équipe', 'standard'])[1 + (g + i) % 5] || ' ' || g * i % 9973 || '"]', ',' ORDER BY i) || '},"enabled":true}'
     FROM generate_series(1, CASE WHEN g % 50 = 7 THEN 850 + g % 13 * 50 ELSE 5 + g * 37 % 105 END) AS i) END,
  (ARRAY['USER', 'CLIENT', 'GROUP', 'REALM_ROLE', 'COMPONENT'])[1 + g % 5], '{"userAgent":"Mozilla/5.0"}'
FROM generate_series(1::bigint, 100 + :users / 20) AS g;

-- ---------------------------------------------------------------- the server's own state

INSERT INTO public.databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype, md5sum, description, comments, liquibase, deployment_id)
SELECT v || '-' || 10000 + i * 131 % 32000, (ARRAY['keycloak', 'sthorger@redhat.com', 'mposolda@redhat.com', 'psilva@redhat.com', 'hmlnarik@redhat.com'])[1 + i % 5], 'META-INF/jpa-changelog-' || v || '.xml',
  timestamp '2024-10-14 22:00:00' + i * interval '37 milliseconds' + CASE WHEN i > 150 THEN interval '400 days' ELSE interval '0' END, i, CASE WHEN i % 5 = 2 THEN 'MARK_RAN' ELSE 'EXECUTED' END, '9:' || md5('changeset ' || i),
  (ARRAY['createTable tableName=X', 'addColumn tableName=X', 'createIndex indexName=IDX, tableName=X', 'sql; update tableName=X'])[1 + i % 4], '', '4.33.0', CASE WHEN i > 150 THEN '6387200000' ELSE '8943200000' END
FROM generate_series(1, 165) AS i,
  LATERAL (SELECT (ARRAY['1.0.0.Final', '1.1.0.Beta1', '1.2.0.Beta1', '1.3.0', '1.4.0', '1.6.1', '1.9.0', '2.1.0', '2.2.0', '2.3.0', '2.5.0', '3.0.0', '3.2.0', '3.4.0', '4.0.0', '4.2.0', '4.6.0', '6.0.0', '8.0.0',
    '9.0.0', '11.0.0', '12.1.0', '13.0.0', '14.0.0', '15.0.0', '17.0.0', '18.0.0', '19.0.0', '20.0.0', '21.0.2', '22.0.0', '23.0.0', '24.0.0', '25.0.0', '26.0.0', '26.1.0', '26.2.0', '26.3.0', '26.4.0'])[1 + i * 38 / 165] AS v) AS x;

INSERT INTO public.databasechangeloglock (id, locked, lockgranted, lockedby) VALUES (1, false, NULL, NULL), (1000, false, NULL, NULL);

INSERT INTO public.migration_model (id, version, update_time)
VALUES ('a1x7q', '26.0.1', 1728943200), ('k93mz', '26.1.4', 1741600000), ('p0dwe', '26.2.5', 1749000000), ('z7u2f', '26.3.3', 1756200000), ('e5j1c', '26.4.0', 1763503200);

INSERT INTO public.server_config (server_config_key, value, version)
SELECT 'crt_jgroups', '{"prvKey":"-----BEGIN FAKE KEY-----\n' || replace(encode(string_agg(sha512(('jgroups ' || i)::bytea), ''::bytea ORDER BY i), 'base64'), E'\n', '\n') ||
  '\n-----END FAKE KEY-----","pubKey":"' || md5('jgroups public') || '","crt":"' || md5('jgroups certificate') || '","generatedMillis":1763503200000,"alias":"' || md5('jgroups alias')::uuid || '"}', 3
FROM generate_series(1, 18) AS i
UNION ALL SELECT 'JGROUPS_ADDRESS_SEQUENCE', '7', 7;

INSERT INTO public.workflow_state (execution_id, resource_id, workflow_id, workflow_provider_id, resource_type, scheduled_step_id, scheduled_step_timestamp)
SELECT md5('workflow execution ' || n)::uuid, md5('user ' || n)::uuid, md5('workflow 1')::uuid, 'user-inactivity-workflow', 'USERS', md5('workflow step ' || n % 3)::uuid, (1792022400 + n)::bigint * 1000
FROM generate_series(11, :users, 500) AS n;

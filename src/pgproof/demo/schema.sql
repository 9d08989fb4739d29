-- A database shaped like Keycloak 26.4's: tables only.
-- Order of the files: schema.sql, data.sql, indexes.sql (keys, indexes, foreign keys), checks.sql.
-- Plain SQL without psql commands: each file can be sent to the server as one string.

-- realms

CREATE TABLE public.realm (
  id varchar(36) NOT NULL,
  access_code_lifespan integer,
  user_action_lifespan integer,
  access_token_lifespan integer,
  account_theme varchar(255),
  admin_theme varchar(255),
  email_theme varchar(255),
  enabled boolean NOT NULL DEFAULT false,
  events_enabled boolean NOT NULL DEFAULT false,
  events_expiration bigint,
  login_theme varchar(255),
  name varchar(255),
  not_before integer,
  password_policy varchar(2550),
  registration_allowed boolean NOT NULL DEFAULT false,
  remember_me boolean NOT NULL DEFAULT false,
  reset_password_allowed boolean NOT NULL DEFAULT false,
  social boolean NOT NULL DEFAULT false,
  ssl_required varchar(255),
  sso_idle_timeout integer,
  sso_max_lifespan integer,
  update_profile_on_soc_login boolean NOT NULL DEFAULT false,
  verify_email boolean NOT NULL DEFAULT false,
  master_admin_client varchar(36),
  login_lifespan integer,
  internationalization_enabled boolean NOT NULL DEFAULT false,
  default_locale varchar(255),
  reg_email_as_username boolean NOT NULL DEFAULT false,
  admin_events_enabled boolean NOT NULL DEFAULT false,
  admin_events_details_enabled boolean NOT NULL DEFAULT false,
  edit_username_allowed boolean NOT NULL DEFAULT false,
  otp_policy_counter integer DEFAULT 0,
  otp_policy_window integer DEFAULT 1,
  otp_policy_period integer DEFAULT 30,
  otp_policy_digits integer DEFAULT 6,
  otp_policy_alg varchar(36) DEFAULT 'HmacSHA1',
  otp_policy_type varchar(36) DEFAULT 'totp',
  browser_flow varchar(36),
  registration_flow varchar(36),
  direct_grant_flow varchar(36),
  reset_credentials_flow varchar(36),
  client_auth_flow varchar(36),
  offline_session_idle_timeout integer DEFAULT 0,
  revoke_refresh_token boolean NOT NULL DEFAULT false,
  access_token_life_implicit integer DEFAULT 0,
  login_with_email_allowed boolean NOT NULL DEFAULT true,
  duplicate_emails_allowed boolean NOT NULL DEFAULT false,
  docker_auth_flow varchar(36),
  refresh_token_max_reuse integer DEFAULT 0,
  allow_user_managed_access boolean NOT NULL DEFAULT false,
  sso_max_lifespan_remember_me integer NOT NULL DEFAULT 0,
  sso_idle_timeout_remember_me integer NOT NULL DEFAULT 0,
  default_role varchar(255)
);

CREATE TABLE public.realm_attribute (
  name varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  value text
);

CREATE TABLE public.realm_default_groups (
  realm_id varchar(36) NOT NULL,
  group_id varchar(36) NOT NULL
);

CREATE TABLE public.realm_enabled_event_types (
  realm_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.realm_events_listeners (
  realm_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.realm_localizations (
  realm_id varchar(255) NOT NULL,
  locale varchar(255) NOT NULL,
  texts text NOT NULL
);

CREATE TABLE public.realm_required_credential (
  type varchar(255) NOT NULL,
  form_label varchar(255),
  input boolean NOT NULL DEFAULT false,
  secret boolean NOT NULL DEFAULT false,
  realm_id varchar(36) NOT NULL
);

CREATE TABLE public.realm_smtp_config (
  realm_id varchar(36) NOT NULL,
  value varchar(255),
  name varchar(255) NOT NULL
);

CREATE TABLE public.realm_supported_locales (
  realm_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.required_action_provider (
  id varchar(36) NOT NULL,
  alias varchar(255),
  name varchar(255),
  realm_id varchar(36),
  enabled boolean NOT NULL DEFAULT false,
  default_action boolean NOT NULL DEFAULT false,
  provider_id varchar(255),
  priority integer
);

CREATE TABLE public.required_action_config (
  required_action_id varchar(36) NOT NULL,
  value text,
  name varchar(255) NOT NULL
);

CREATE TABLE public.component (
  id varchar(36) NOT NULL,
  name varchar(255),
  parent_id varchar(36),
  provider_id varchar(36),
  provider_type varchar(255),
  realm_id varchar(36),
  sub_type varchar(255)
);

CREATE TABLE public.component_config (
  id varchar(36) NOT NULL,
  component_id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  value text
);

-- authentication

CREATE TABLE public.authentication_flow (
  id varchar(36) NOT NULL,
  alias varchar(255),
  description varchar(255),
  realm_id varchar(36),
  provider_id varchar(36) NOT NULL DEFAULT 'basic-flow',
  top_level boolean NOT NULL DEFAULT false,
  built_in boolean NOT NULL DEFAULT false
);

CREATE TABLE public.authentication_execution (
  id varchar(36) NOT NULL,
  alias varchar(255),
  authenticator varchar(36),
  realm_id varchar(36),
  flow_id varchar(36),
  requirement integer,
  priority integer,
  authenticator_flow boolean NOT NULL DEFAULT false,
  auth_flow_id varchar(36),
  auth_config varchar(36)
);

CREATE TABLE public.authenticator_config (
  id varchar(36) NOT NULL,
  alias varchar(255),
  realm_id varchar(36)
);

CREATE TABLE public.authenticator_config_entry (
  authenticator_id varchar(36) NOT NULL,
  value text,
  name varchar(255) NOT NULL
);

-- clients, scopes, mappers

CREATE TABLE public.client (
  id varchar(36) NOT NULL,
  enabled boolean NOT NULL DEFAULT false,
  full_scope_allowed boolean NOT NULL DEFAULT false,
  client_id varchar(255),
  not_before integer,
  public_client boolean NOT NULL DEFAULT false,
  secret varchar(255),
  base_url varchar(255),
  bearer_only boolean NOT NULL DEFAULT false,
  management_url varchar(255),
  surrogate_auth_required boolean NOT NULL DEFAULT false,
  realm_id varchar(36),
  protocol varchar(255),
  node_rereg_timeout integer DEFAULT 0,
  frontchannel_logout boolean NOT NULL DEFAULT false,
  consent_required boolean NOT NULL DEFAULT false,
  name varchar(255),
  service_accounts_enabled boolean NOT NULL DEFAULT false,
  client_authenticator_type varchar(255),
  root_url varchar(255),
  description varchar(255),
  registration_token varchar(255),
  standard_flow_enabled boolean NOT NULL DEFAULT true,
  implicit_flow_enabled boolean NOT NULL DEFAULT false,
  direct_access_grants_enabled boolean NOT NULL DEFAULT false,
  always_display_in_console boolean NOT NULL DEFAULT false
);

CREATE TABLE public.client_attributes (
  client_id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  value text
);

CREATE TABLE public.client_auth_flow_bindings (
  client_id varchar(36) NOT NULL,
  flow_id varchar(36),
  binding_name varchar(255) NOT NULL
);

CREATE TABLE public.client_initial_access (
  id varchar(36) NOT NULL,
  realm_id varchar(36) NOT NULL,
  "timestamp" integer,
  expiration integer,
  count integer,
  remaining_count integer
);

CREATE TABLE public.client_node_registrations (
  client_id varchar(36) NOT NULL,
  value integer,
  name varchar(255) NOT NULL
);

CREATE TABLE public.redirect_uris (
  client_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.web_origins (
  client_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.client_scope (
  id varchar(36) NOT NULL,
  name varchar(255),
  realm_id varchar(36),
  description varchar(255),
  protocol varchar(255)
);

CREATE TABLE public.client_scope_attributes (
  scope_id varchar(36) NOT NULL,
  value varchar(2048),
  name varchar(255) NOT NULL
);

CREATE TABLE public.client_scope_client (
  client_id varchar(255) NOT NULL,
  scope_id varchar(255) NOT NULL,
  default_scope boolean NOT NULL DEFAULT false
);

CREATE TABLE public.client_scope_role_mapping (
  scope_id varchar(36) NOT NULL,
  role_id varchar(36) NOT NULL
);

CREATE TABLE public.default_client_scope (
  realm_id varchar(36) NOT NULL,
  scope_id varchar(36) NOT NULL,
  default_scope boolean NOT NULL DEFAULT false
);

CREATE TABLE public.protocol_mapper (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  protocol varchar(255) NOT NULL,
  protocol_mapper_name varchar(255) NOT NULL,
  client_id varchar(36),
  client_scope_id varchar(36)
);

CREATE TABLE public.protocol_mapper_config (
  protocol_mapper_id varchar(36) NOT NULL,
  value text,
  name varchar(255) NOT NULL
);

CREATE TABLE public.scope_mapping (
  client_id varchar(36) NOT NULL,
  role_id varchar(36) NOT NULL
);

-- roles, groups, organisations

CREATE TABLE public.keycloak_role (
  id varchar(36) NOT NULL,
  client_realm_constraint varchar(255),
  client_role boolean NOT NULL DEFAULT false,
  description varchar(255),
  name varchar(255),
  realm_id varchar(255),
  client varchar(36),
  realm varchar(36)
);

CREATE TABLE public.composite_role (
  composite varchar(36) NOT NULL,
  child_role varchar(36) NOT NULL
);

CREATE TABLE public.role_attribute (
  id varchar(36) NOT NULL,
  role_id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  value varchar(255)
);

CREATE TABLE public.keycloak_group (
  id varchar(36) NOT NULL,
  name varchar(255),
  parent_group varchar(36) NOT NULL,
  realm_id varchar(36),
  type integer NOT NULL DEFAULT 0,
  description varchar(255)
);

CREATE TABLE public.group_attribute (
  id varchar(36) NOT NULL DEFAULT 'sybase-needs-something-here',
  name varchar(255) NOT NULL,
  value varchar(255),
  group_id varchar(36) NOT NULL
);

CREATE TABLE public.group_role_mapping (
  role_id varchar(36) NOT NULL,
  group_id varchar(36) NOT NULL
);

CREATE TABLE public.org (
  id varchar(255) NOT NULL,
  enabled boolean NOT NULL,
  realm_id varchar(255) NOT NULL,
  group_id varchar(255) NOT NULL,
  name varchar(255) NOT NULL,
  description varchar(4000),
  alias varchar(255) NOT NULL,
  redirect_url varchar(2048)
);

CREATE TABLE public.org_domain (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  verified boolean NOT NULL,
  org_id varchar(255) NOT NULL
);

-- users

CREATE TABLE public.user_entity (
  id varchar(36) NOT NULL,
  email varchar(255),
  email_constraint varchar(255),
  email_verified boolean NOT NULL DEFAULT false,
  enabled boolean NOT NULL DEFAULT false,
  federation_link varchar(255),
  first_name varchar(255),
  last_name varchar(255),
  realm_id varchar(255),
  username varchar(255),
  created_timestamp bigint,
  service_account_client_link varchar(255),
  not_before integer NOT NULL DEFAULT 0
);

CREATE TABLE public.user_attribute (
  name varchar(255) NOT NULL,
  value varchar(255),
  user_id varchar(36) NOT NULL,
  id varchar(36) NOT NULL DEFAULT 'sybase-needs-something-here',
  long_value_hash bytea,
  long_value_hash_lower_case bytea,
  long_value text
);

CREATE TABLE public.credential (
  id varchar(36) NOT NULL,
  salt bytea,
  type varchar(255),
  user_id varchar(36),
  created_date bigint,
  user_label varchar(255),
  secret_data text,
  credential_data text,
  priority integer,
  version integer DEFAULT 0
);

CREATE TABLE public.user_consent (
  id varchar(36) NOT NULL,
  client_id varchar(255),
  user_id varchar(36) NOT NULL,
  created_date bigint,
  last_updated_date bigint,
  client_storage_provider varchar(36),
  external_client_id varchar(255)
);

CREATE TABLE public.user_consent_client_scope (
  user_consent_id varchar(36) NOT NULL,
  scope_id varchar(36) NOT NULL
);

CREATE TABLE public.user_group_membership (
  group_id varchar(36) NOT NULL,
  user_id varchar(36) NOT NULL,
  membership_type varchar(255) NOT NULL
);

CREATE TABLE public.user_required_action (
  user_id varchar(36) NOT NULL,
  required_action varchar(255) NOT NULL DEFAULT ' '
);

CREATE TABLE public.user_role_mapping (
  role_id varchar(255) NOT NULL,
  user_id varchar(36) NOT NULL
);

-- users kept outside (federation), and brokers

CREATE TABLE public.federated_identity (
  identity_provider varchar(255) NOT NULL,
  realm_id varchar(36),
  federated_user_id varchar(255),
  federated_username varchar(255),
  token text,
  user_id varchar(36) NOT NULL
);

CREATE TABLE public.federated_user (
  id varchar(255) NOT NULL,
  storage_provider_id varchar(255),
  realm_id varchar(36) NOT NULL
);

CREATE TABLE public.broker_link (
  identity_provider varchar(255) NOT NULL,
  storage_provider_id varchar(255),
  realm_id varchar(36) NOT NULL,
  broker_user_id varchar(255),
  broker_username varchar(255),
  token text,
  user_id varchar(255) NOT NULL
);

CREATE TABLE public.fed_user_attribute (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36),
  value varchar(2024),
  long_value_hash bytea,
  long_value_hash_lower_case bytea,
  long_value text
);

CREATE TABLE public.fed_user_consent (
  id varchar(36) NOT NULL,
  client_id varchar(255),
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36),
  created_date bigint,
  last_updated_date bigint,
  client_storage_provider varchar(36),
  external_client_id varchar(255)
);

CREATE TABLE public.fed_user_consent_cl_scope (
  user_consent_id varchar(36) NOT NULL,
  scope_id varchar(36) NOT NULL
);

CREATE TABLE public.fed_user_credential (
  id varchar(36) NOT NULL,
  salt bytea,
  type varchar(255),
  created_date bigint,
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36),
  user_label varchar(255),
  secret_data text,
  credential_data text,
  priority integer
);

CREATE TABLE public.fed_user_group_membership (
  group_id varchar(36) NOT NULL,
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36)
);

CREATE TABLE public.fed_user_required_action (
  required_action varchar(255) NOT NULL DEFAULT ' ',
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36)
);

CREATE TABLE public.fed_user_role_mapping (
  role_id varchar(36) NOT NULL,
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  storage_provider_id varchar(36)
);

CREATE TABLE public.user_federation_provider (
  id varchar(36) NOT NULL,
  changed_sync_period integer,
  display_name varchar(255),
  full_sync_period integer,
  last_sync integer,
  priority integer,
  provider_name varchar(255),
  realm_id varchar(36)
);

CREATE TABLE public.user_federation_config (
  user_federation_provider_id varchar(36) NOT NULL,
  value varchar(255),
  name varchar(255) NOT NULL
);

CREATE TABLE public.user_federation_mapper (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  federation_provider_id varchar(36) NOT NULL,
  federation_mapper_type varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL
);

CREATE TABLE public.user_federation_mapper_config (
  user_federation_mapper_id varchar(36) NOT NULL,
  value varchar(255),
  name varchar(255) NOT NULL
);

CREATE TABLE public.identity_provider (
  internal_id varchar(36) NOT NULL,
  enabled boolean NOT NULL DEFAULT false,
  provider_alias varchar(255),
  provider_id varchar(255),
  store_token boolean NOT NULL DEFAULT false,
  authenticate_by_default boolean NOT NULL DEFAULT false,
  realm_id varchar(36),
  add_token_role boolean NOT NULL DEFAULT true,
  trust_email boolean NOT NULL DEFAULT false,
  first_broker_login_flow_id varchar(36),
  post_broker_login_flow_id varchar(36),
  provider_display_name varchar(255),
  link_only boolean NOT NULL DEFAULT false,
  organization_id varchar(255),
  hide_on_login boolean DEFAULT false
);

CREATE TABLE public.identity_provider_config (
  identity_provider_id varchar(36) NOT NULL,
  value text,
  name varchar(255) NOT NULL
);

CREATE TABLE public.identity_provider_mapper (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  idp_alias varchar(255) NOT NULL,
  idp_mapper_name varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL
);

CREATE TABLE public.idp_mapper_config (
  idp_mapper_id varchar(36) NOT NULL,
  value text,
  name varchar(255) NOT NULL
);

-- sessions, events

CREATE TABLE public.offline_user_session (
  user_session_id varchar(36) NOT NULL,
  user_id varchar(255) NOT NULL,
  realm_id varchar(36) NOT NULL,
  created_on integer NOT NULL,
  offline_flag varchar(4) NOT NULL,
  data text,
  last_session_refresh integer NOT NULL DEFAULT 0,
  broker_session_id varchar(1024),
  version integer DEFAULT 0
);

CREATE TABLE public.offline_client_session (
  user_session_id varchar(36) NOT NULL,
  client_id varchar(255) NOT NULL,
  offline_flag varchar(4) NOT NULL,
  "timestamp" integer,
  data text,
  client_storage_provider varchar(36) NOT NULL DEFAULT 'local',
  external_client_id varchar(255) NOT NULL DEFAULT 'local',
  version integer DEFAULT 0
);

CREATE TABLE public.revoked_token (
  id varchar(255) NOT NULL,
  expire bigint NOT NULL
);

CREATE TABLE public.event_entity (
  id varchar(36) NOT NULL,
  client_id varchar(255),
  details_json varchar(2550),
  error varchar(255),
  ip_address varchar(255),
  realm_id varchar(255),
  session_id varchar(255),
  event_time bigint,
  type varchar(255),
  user_id varchar(255),
  details_json_long_value text
);

CREATE TABLE public.admin_event_entity (
  id varchar(36) NOT NULL,
  admin_event_time bigint,
  realm_id varchar(255),
  operation_type varchar(255),
  auth_realm_id varchar(255),
  auth_client_id varchar(255),
  auth_user_id varchar(255),
  ip_address varchar(255),
  resource_path varchar(2550),
  representation text,
  error varchar(255),
  resource_type varchar(64),
  details_json text
);

-- authorization services

CREATE TABLE public.resource_server (
  id varchar(36) NOT NULL,
  allow_rs_remote_mgmt boolean NOT NULL DEFAULT false,
  policy_enforce_mode smallint NOT NULL,
  decision_strategy smallint NOT NULL DEFAULT 1
);

CREATE TABLE public.resource_server_resource (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  type varchar(255),
  icon_uri varchar(255),
  owner varchar(255) NOT NULL,
  resource_server_id varchar(36) NOT NULL,
  owner_managed_access boolean NOT NULL DEFAULT false,
  display_name varchar(255)
);

CREATE TABLE public.resource_server_scope (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  icon_uri varchar(255),
  resource_server_id varchar(36) NOT NULL,
  display_name varchar(255)
);

CREATE TABLE public.resource_server_policy (
  id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  description varchar(255),
  type varchar(255) NOT NULL,
  decision_strategy smallint,
  logic smallint,
  resource_server_id varchar(36) NOT NULL,
  owner varchar(255)
);

CREATE TABLE public.resource_server_perm_ticket (
  id varchar(36) NOT NULL,
  owner varchar(255) NOT NULL,
  requester varchar(255) NOT NULL,
  created_timestamp bigint NOT NULL,
  granted_timestamp bigint,
  resource_id varchar(36) NOT NULL,
  scope_id varchar(36),
  resource_server_id varchar(36) NOT NULL,
  policy_id varchar(36)
);

CREATE TABLE public.associated_policy (
  policy_id varchar(36) NOT NULL,
  associated_policy_id varchar(36) NOT NULL
);

CREATE TABLE public.policy_config (
  policy_id varchar(36) NOT NULL,
  name varchar(255) NOT NULL,
  value text
);

CREATE TABLE public.resource_attribute (
  id varchar(36) NOT NULL DEFAULT 'sybase-needs-something-here',
  name varchar(255) NOT NULL,
  value varchar(255),
  resource_id varchar(36) NOT NULL
);

CREATE TABLE public.resource_policy (
  resource_id varchar(36) NOT NULL,
  policy_id varchar(36) NOT NULL
);

CREATE TABLE public.resource_scope (
  resource_id varchar(36) NOT NULL,
  scope_id varchar(36) NOT NULL
);

CREATE TABLE public.resource_uris (
  resource_id varchar(36) NOT NULL,
  value varchar(255) NOT NULL
);

CREATE TABLE public.scope_policy (
  scope_id varchar(36) NOT NULL,
  policy_id varchar(36) NOT NULL
);

-- the server's own state

CREATE TABLE public.databasechangelog (
  id varchar(255) NOT NULL,
  author varchar(255) NOT NULL,
  filename varchar(255) NOT NULL,
  dateexecuted timestamp NOT NULL,
  orderexecuted integer NOT NULL,
  exectype varchar(10) NOT NULL,
  md5sum varchar(35),
  description varchar(255),
  comments varchar(255),
  tag varchar(255),
  liquibase varchar(20),
  contexts varchar(255),
  labels varchar(255),
  deployment_id varchar(10)
);

CREATE TABLE public.databasechangeloglock (
  id integer NOT NULL,
  locked boolean NOT NULL,
  lockgranted timestamp,
  lockedby varchar(255)
);

CREATE TABLE public.migration_model (
  id varchar(36) NOT NULL,
  version varchar(36),
  update_time bigint NOT NULL DEFAULT 0
);

CREATE TABLE public.jgroups_ping (
  address varchar(200) NOT NULL,
  name varchar(200),
  cluster_name varchar(200) NOT NULL,
  ip varchar(200) NOT NULL,
  coord boolean
);

CREATE TABLE public.server_config (
  server_config_key varchar(255) NOT NULL,
  value text NOT NULL,
  version integer DEFAULT 0
);

CREATE TABLE public.workflow_state (
  execution_id varchar(255) NOT NULL,
  resource_id varchar(255) NOT NULL,
  workflow_id varchar(255) NOT NULL,
  workflow_provider_id varchar(255),
  resource_type varchar(255),
  scheduled_step_id varchar(255),
  scheduled_step_timestamp bigint
);

#!/bin/sh
# For each service named as an argument: a database, a role that owns it and migrates it, and a role
# that the running service has, which reads and writes rows and can change no schema. Run as often
# as you like: what exists is left alone, passwords are set anew.
#
# Reads PGHOST, PGUSER, PGPASSWORD, and for each service NAME_DATABASE_PASSWORD and
# NAME_MIGRATION_PASSWORD (NAME in capitals).
set -eu

for name in "$@"; do
  upper=$(echo "$name" | tr '[:lower:]' '[:upper:]')
  SERVICE_PASSWORD=$(printenv "${upper}_DATABASE_PASSWORD")
  MIGRATION_PASSWORD=$(printenv "${upper}_MIGRATION_PASSWORD")
  export SERVICE_PASSWORD MIGRATION_PASSWORD
  psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v name="$name" -v owner="${name}_migration" \
    -d postgres <<'SQL'
\getenv service_password SERVICE_PASSWORD
\getenv migration_password MIGRATION_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', role) FROM unnest(ARRAY[:'name', :'owner']) AS role
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"name" PASSWORD :'service_password';
ALTER ROLE :"owner" PASSWORD :'migration_password';
-- A process that stands still in the middle of a transaction loses its locks well before the sagas
-- that wait for them reach their deadlines (the shortest is 90 s).
ALTER ROLE :"name" SET idle_in_transaction_session_timeout = '30s';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"name" TO :"name";
\connect :"name"
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"name";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"name";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"name";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"name";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"name";
SQL
  echo "database $name: ready"
done

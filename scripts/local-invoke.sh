#!/usr/bin/env bash
# Gives a sample event to its function, while "make local-aws" runs:
#
#   scripts/local-invoke.sh mail-s3                 infra/events/mail-s3.json to MailFunction
#   scripts/local-invoke.sh process event.json      a file of your own to ProcessFunction
#
# AIKAJANA_LOCAL_AWS is the stack's folder, where it is another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sample=${1:?"local-invoke: name a sample event of infra/events, like process"}
event=${2:-infra/events/$sample.json}
function=${sample%%-*}
dir=${AIKAJANA_LOCAL_AWS:-${TMPDIR:-/tmp}/aikajana-local-aws}
[ -e "$event" ] || { echo "local-invoke: there is no $event" >&2; exit 2; }
[ -e "$dir/build/template.yaml" ] || { echo "local-invoke: nothing runs in $dir: start it with \"make local-aws\"" >&2; exit 1; }
sam=$(ls -d "${AIKAJANA_CACHE:-$HOME/.cache/aikajana}"/sam-*/bin/sam 2>/dev/null | tail -n 1 || true)
sam=${sam:-$(command -v sam)} || { echo "local-invoke: no SAM CLI: run \"scripts/parts.sh sam\"" >&2; exit 1; }

# A private engine is in the folder, a Docker that ran already is not. The stand-ins know one region and any credentials.
if [ -S "$dir/engine/docker.sock" ]; then export DOCKER_HOST=unix://$dir/engine/docker.sock; fi
export TMPDIR=$dir/tmp __SAM_CLI_APP_DIR=$dir/sam # which go when the stack goes
export SAM_CLI_TELEMETRY=0 AWS_MAX_ATTEMPTS=1 AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=standin AWS_SECRET_ACCESS_KEY=standin
exec "$sam" local invoke "${function^}Function" -e "$event" -t "$dir/build/template.yaml" --region eu-north-1 \
  --parameter-overrides Architecture=x86_64 --skip-pull-image --add-host host.docker.internal:host-gateway

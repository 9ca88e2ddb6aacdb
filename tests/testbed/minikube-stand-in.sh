#!/bin/sh
# Stands in for minikube in tests: answers `docker-env` as minikube does for the testbed's profiles,
# in the forms that it prints, and refuses a command line that it does not know. What it prints was
# taken down from minikube 1.38 (forms, exit codes) with this testbed's addresses put in.
profile='' shell=none output=''
refuse() { echo "stand-in: does not know: minikube $*" >&2; exit 99; }
all="$*"
[ "$1" = docker-env ] || refuse "$all"
shift
while [ $# -gt 0 ]; do
  case $1 in
    -p) profile=$2; shift 2 ;;
    --shell) shell=$2; shift 2 ;;
    -o) output=$2; shift 2 ;;
    *) refuse "$all" ;;
  esac
done
case $profile in
  minikube|kic) ;;
  stopped) echo 'false exit code 83'; exit 83 ;;
  *) echo 'false exit code 85'; exit 85 ;;
esac
certs=$MINIKUBE_HOME/certs host=tcp://127.0.0.2:2376
case $shell/$output in
  none/json) printf '{"DOCKER_CERT_PATH":"%s","DOCKER_HOST":"%s","DOCKER_TLS_VERIFY":"1","MINIKUBE_ACTIVE_DOCKERD":"%s","SSH_AGENT_PID":"","SSH_AUTH_SOCK":""}\n' "$certs" "$host" "$profile" ;;
  fish/)
    printf 'set -gx DOCKER_TLS_VERIFY "1";\nset -gx DOCKER_HOST "%s";\nset -gx DOCKER_CERT_PATH "%s";\nset -gx MINIKUBE_ACTIVE_DOCKERD "%s";\n' "$host" "$certs" "$profile"
    printf "\n# To point your shell to minikube's docker-daemon, run:\n# minikube -p %s docker-env | source\n" "$profile" ;;
  *) refuse "$all" ;;
esac

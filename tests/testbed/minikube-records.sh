#!/usr/bin/env bash
# Writes minikube's records of clusters and their machines into the folder $home (sourced).
# shellcheck disable=SC2154  # whoever sources this sets it

node() { # NAME IP CONTROL_PLANE RUNTIME
  printf '{"Name":"%s","IP":"%s","Port":8443,"KubernetesVersion":"v1.35.1","ContainerRuntime":"%s","ControlPlane":%s,"Worker":true}' "$1" "$2" "$4" "$3"
}
profile() { # NAME DRIVER RUNTIME MULTI NODES
  mkdir -p "$home/profiles/$1"
  cat > "$home/profiles/$1/config.json" <<JSON
{
    "Name": "$1",
    "KicBaseImage": "gcr.io/k8s-minikube/kicbase:v0.0.50",
    "Memory": 4000,
    "CPUs": 2,
    "Driver": "$2",
    "SSHUser": "root",
    "SSHPort": 22,
    "KubernetesConfig": {
        "KubernetesVersion": "v1.35.1",
        "ClusterName": "$1",
        "Namespace": "default",
        "ContainerRuntime": "$3",
        "NetworkPlugin": "cni",
        "ServiceCIDR": "10.96.0.0/12"
    },
    "Nodes": [$5],
    "Addons": {"storage-provisioner": true},
    "MultiNodeRequested": $4,
    "CertExpiration": 94608000000000000,
    "Network": "",
    "SSHAuthSock": "",
    "SSHAgentPID": 0
}
JSON
}
machine() { # NAME DRIVER IP
  mkdir -p "$home/machines/$1"
  cat > "$home/machines/$1/config.json" <<JSON
{
    "ConfigVersion": 3,
    "Driver": {
        "IPAddress": "$3",
        "MachineName": "$1",
        "SSHUser": "docker",
        "SSHPort": 22,
        "SSHKeyPath": "$home/machines/$1/id_rsa",
        "StorePath": "$home"
    },
    "DriverName": "$2",
    "HostOptions": {
        "AuthOptions": {
            "CertDir": "$home",
            "CaCertPath": "$home/certs/ca.pem",
            "ClientKeyPath": "$home/certs/key.pem",
            "ClientCertPath": "$home/certs/cert.pem"
        }
    },
    "Name": "$1"
}
JSON
}

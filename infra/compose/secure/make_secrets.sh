#!/bin/sh
# Makes what compose.yml beside this needs, with openssl: an authority and the certificates of
# the servers, passwords, the key of the API, and the users of Redis.
#
#   sh infra/compose/secure/make_secrets.sh secrets
#
# What is there already stays: to renew a certificate or a password, delete its files and run this
# again. The folder is its owner's alone. Files in it can be read by all, for the users of the
# containers, which get single files and not the folder. Keep ca.key elsewhere, or delete it.
set -eu

folder=${1:?"name the folder that the secrets are to be in"}
here=$(dirname "$0")
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

if [ ! -e "$folder/ca.pem" ]; then
	# shellcheck disable=SC2086
	openssl req -x509 $new_key -days 3650 -subj "/CN=Freshgrid's authority" \
		-keyout "$folder/ca.key" -out "$folder/ca.pem"
	chmod 600 "$folder/ca.key"
fi

# NAME, and what it is asked by.
certificate() {
	if [ -e "$folder/$1.pem" ]; then
		return
	fi
	# shellcheck disable=SC2086
	openssl req -x509 $new_key -days 825 -subj "/CN=$1" \
		-CA "$folder/ca.pem" -CAkey "$folder/ca.key" \
		-addext "subjectAltName=DNS:$1,DNS:localhost,IP:127.0.0.1" \
		-addext "basicConstraints=critical,CA:FALSE" \
		-keyout "$folder/$1.key" -out "$folder/$1.pem"
	chmod 644 "$folder/$1.key"
}
certificate kafka
certificate redis
certificate ranker
# Kafka takes both from one file.
cat "$folder/kafka.key" "$folder/kafka.pem" >"$folder/kafka.both.pem"

for name in api_key signing_secret \
	admin_password worker_password learner_password ranker_password \
	command_password outside_password reader_password; do
	if [ ! -e "$folder/$name" ]; then
		openssl rand -hex 32 >"$folder/$name"
	fi
done

# Redis is told digests of the passwords.
cp "$here/redis_users.in" "$folder/redis_users"
for identity in worker ranker command reader; do
	digest=$(tr -d '\n' <"$folder/${identity}_password" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
	sed "s/#$identity /#$digest /" "$folder/redis_users" >"$folder/redis_users.part"
	mv "$folder/redis_users.part" "$folder/redis_users"
done

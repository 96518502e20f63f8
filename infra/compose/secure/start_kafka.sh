#!/bin/bash
# Starts the broker; a new volume gets a cluster id of its own and the identities with their
# passwords. Later changes: kafka-configs.sh --bootstrap-server localhost:9094, in this container.
set -euo pipefail
config=/etc/freshgrid/kafka.properties
if [ ! -f /var/lib/kafka/data/meta.properties ]; then
	users=()
	for identity in admin worker learner ranker command outside; do
		password=$(cat "/run/secrets/${identity}_password")
		users+=(--add-scram "SCRAM-SHA-512=[name=$identity,password=$password]")
	done
	/opt/kafka/bin/kafka-storage.sh format --config "$config" "${users[@]}" \
		--cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)"
fi
exec /opt/kafka/bin/kafka-server-start.sh "$config"

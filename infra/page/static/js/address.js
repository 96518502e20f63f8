// Addresses of the views: #/explore?viewer=v1.

/** The address of a view, with its parameters. */
export function address(name, parameters) {
  return `#/${name}?${new URLSearchParams(parameters)}`;
}

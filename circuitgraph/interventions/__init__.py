"""Questions answered by changing a forward pass: patches between variants, circuits."""

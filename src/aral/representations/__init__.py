"""From images to vectors and neighbour graphs: oriented gradients, principal components, label propagation."""

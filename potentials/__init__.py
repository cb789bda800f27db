"""The forces: force fields as data and the engines that evaluate them."""

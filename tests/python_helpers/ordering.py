"""The order of tests that share what takes long to start."""


def group_by(items, name):
    """Sorts pytest's items by their parameter of that name. pytest itself compares its place in each list of parameters, so it
    would make what has several lists again for each."""
    order = {}

    def place(item):
        parameter = getattr(item, "callspec", None) and item.callspec.params.get(name)
        return order.setdefault(parameter and parameter.name, len(order))

    items.sort(key=place)

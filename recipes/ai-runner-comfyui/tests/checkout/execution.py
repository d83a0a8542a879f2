"""Checks and runs graphs; keeps the outputs of nodes whose inputs are the same as the run before."""

import math

import nodes


async def validate_prompt(prompt_id, prompt, partial_execution_list):
    for key, node in prompt.items():
        if node["class_type"] not in nodes.NODE_CLASS_MAPPINGS:
            return (
                False,
                {"message": "Node does not exist", "details": f"#{key} {node['class_type']}"},
                [],
                {},
            )
    errors = {key: found for key, node in prompt.items() if (found := _errors(node))}
    return not errors, {"message": "Outputs failed", "details": ""} if errors else None, [], errors


def _errors(node):
    wanted = nodes.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()["required"]
    found = [
        {"message": "Required input is missing", "details": name}
        for name in wanted
        if name not in node["inputs"]
    ]
    for name, value in node["inputs"].items():
        kind = wanted[name][0]
        if isinstance(kind, list) and value not in kind:
            found.append({"message": "Value not in list", "details": f"{name}: {value!r} not in {kind}"})
    return {"class_type": node["class_type"], "errors": found} if found else None


class PromptExecutor:
    def __init__(self, server):
        self.server, self.kept = server, {}

    def execute(self, prompt, prompt_id, extra_data, execute_outputs):
        self.success, self.status_messages = True, []
        self.server.send_sync("execution_start", {}, None)
        try:
            for key in execute_outputs:
                self._run(prompt, key)
        except _FailedError as failure:
            self.success = False
            self.status_messages.append(("execution_error", failure.args[0]))

    def _run(self, prompt, key):
        node = prompt[key]
        node_class = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
        is_new = "is_changed" not in node and math.isnan(getattr(node_class, "IS_CHANGED", lambda: 0.0)())
        values, place = {}, (key, str(node))
        node["is_changed"] = is_new  # and so it stays, for whoever gives the same dictionary again
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                outputs, was_new = self._run(prompt, value[0])
                values[name], is_new = outputs[value[1]], is_new or was_new
            else:
                values[name] = value
        if is_new or place not in self.kept:
            self.kept[place] = self._call(key, node, node_class, values)
        return self.kept[place], is_new

    def _call(self, key, node, node_class, values):
        try:
            return getattr(node_class(), node_class.FUNCTION)(**values)
        except Exception as error:
            told = {"node_id": key, "node_type": node["class_type"], "traceback": ["line 1\n"]}
            kind = {"exception_type": type(error).__name__, "exception_message": f"{error}\n"}
            raise _FailedError(told | kind) from error


class _FailedError(Exception):
    pass

"""How does bash, which takes words apart at "=", complete KEY=VALUE?

Its COMP_WORDS of ``--where model=res`` are ``--where``, ``model``, ``=`` and ``res``, and it replaces only the last. So
the parts are joined for click, and what they begin with is cut off each completion.
"""

from __future__ import annotations

from click.shell_completion import BashComplete, CompletionItem, add_completion_class


class _Bash(BashComplete):
    """Completion for bash that knows KEY=VALUE."""

    _cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that one with its key."""
        args, incomplete = super().get_completion_args()
        last = incomplete
        if incomplete == "=":
            last, incomplete = "", "="
        elif args and args[-1] == "=":
            incomplete = f"{args.pop()}{incomplete}"
        if incomplete.startswith("=") and args and not args[-1].startswith("-"):
            incomplete = f"{args.pop()}{incomplete}"
            self._cut = len(incomplete) - len(last)
        elif incomplete.startswith("="):  # --flag=value: the flag is the word before
            incomplete = last
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """What bash is to put in the place of the last part."""
        return f"{item.type},{item.value[self._cut :]}"


def join_words_at_equals() -> None:
    """Makes click use this class for bash."""
    add_completion_class(_Bash, "bash")

"""How an answer ended: what providers call the reasons for which a model stops, and what each means.

The words are those of OpenAI and who speaks as they do, Anthropic, Google, Mistral, Cohere, DeepSeek, Zhipu, Amazon,
IBM and Hugging Face, in any spelling and case.
"""

from __future__ import annotations

import re
from enum import IntEnum


class Finish(IntEnum):
    """What a finish reason means. Of several the largest counts."""

    NONE = 0
    """It is no reason: the answer goes on."""
    UNKNOWN = 1
    GOOD = 2
    LENGTH = 3
    FILTERED = 4
    BROKEN = 5


NAMES: dict[Finish, str] = {
    Finish.NONE: "null none not_finished unfinished in_progress generating running continue false 0",
    Finish.GOOD: """
        stop stopped end end_turn end_of_turn eot stop_sequence stop_sequences stop_token stop_criteria stop_word
        eos eos_token eos_found eos_token_id end_of_text end_of_sequence complete completed finish finished done success
        succeeded normal natural true finished_stopped im_end s eot_id endoftext
        tool_calls tool_call tool_use tools function_call function_calls
    """,
    Finish.LENGTH: """
        length max_tokens max_token max_output_tokens max_completion_tokens max_new_tokens max_length max_tokens_reached
        length_limit token_limit token_limit_reached output_limit model_length model_context_window_exceeded
        context_length context_length_reached max_predicted_tokens_reached finished_length_capped
        context_length_exceeded context_window_exceeded error_limit limit incomplete truncated pause_turn
    """,
    Finish.FILTERED: """
        content_filter content_filtered content_filtering content_policy content_policy_violation filtered filter safety
        recitation blocklist blocked prohibited_content spii language image_safety image_prohibited_content
        image_recitation guardrail_intervened guardrail guardrails refusal refused sensitive moderation moderated
        flagged policy_violation error_toxic censored risk
    """,
    Finish.BROKEN: """
        error errored abort aborted cancel cancelled canceled user_cancel insufficient_system_resource
        insufficient_system_resources network_error server_error internal_error connection_error failed failure fail
        fault interrupt interrupted timeout timed_out time_limit deadline_exceeded overloaded preempted rate_limit
        malformed_function_call unexpected_tool_call malformed_response too_many_tool_calls
        malformed_model_output malformed_tool_use finished_aborted user_stopped model_unloaded unavailable crashed
        disconnected
    """,
}

_MEANINGS = {name: finish for finish, names in NAMES.items() for name in names.split()}

_PREFIXES = re.compile(r"^(finish_reason|stop_reason|finishreason|reason)_(?=.)")

_WORD = re.compile(r"[^a-z0-9]+")

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def finish_of(reason: object) -> Finish:
    """What a finish reason means, in whatever spelling; NONE for what is none."""
    if not reason:
        return Finish.NONE
    name = _WORD.sub("_", _CAMEL.sub("_", str(reason)).lower()).strip("_")
    return _MEANINGS.get(_PREFIXES.sub("", name), Finish.UNKNOWN) if name else Finish.NONE

"""Behaviour of AWS that would have caused failures, found in AWS' documentation and bug reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        about: the behaviour of AWS.
        answer: what the project does about it.
        watched_by: tests (`module below tests/::name`) or decision records.
    """

    about: str
    answer: str
    watched_by: tuple[str, ...]


FINDINGS = [
    Finding(
        "EMR requires port 443 open to the VPC's address range, not only to security groups",
        "`ServiceAccessGroup` allows `VpcCidr`",
        ("unit/project/test_template.py::test_the_nodes_reach_emr_by_the_addresses_of_their_network",
         "unit/project/test_template.py::test_your_own_network_needs_its_address_range"),
    ),
    Finding(
        "S3 sends a bucket's events only about five minutes after notifications are enabled; "
        "earlier ones are lost",
        "the sweep scans the datasets bucket",
        ("unit/runs/test_lost_drops.py::test_a_drop_whose_events_were_lost_has_its_run_and_one_cluster",
         "unit/runs/test_lost_drops.py::test_a_bucket_of_a_hundred_thousand_objects_costs_few_requests",
         "e2e/test_operations.py::test_a_drop_whose_event_was_lost_is_found"),
    ),
    Finding(
        "the waiter for terminated clusters fails if a cluster ended with errors",
        "`destroy` treats it as ended",
        ("unit/cli/test_teardown.py::test_a_cluster_that_terminates_with_errors_has_terminated",),
    ),
    Finding(
        "the policy of the S3 endpoint can block EMR's own log buckets",
        "it allows writes to these buckets, and to no others outside the account",
        ("unit/project/test_template.py"
         "::test_only_emr_logs_can_be_written_to_buckets_of_other_accounts",),
    ),
    Finding(
        "not every zone offers every instance type; plans and quotas differ",
        "`make preflight`; the parameter `AvailabilityZone`",
        ("unit/cli/test_preflight.py"
         "::test_without_a_chosen_zone_the_zones_that_have_the_instance_type_are_listed",
         "unit/cli/test_preflight.py::test_the_free_plan_is_noted",
         "unit/cli/test_preflight.py"
         "::test_the_quota_is_compared_with_the_primary_and_the_core_nodes"),
    ),
    Finding(
        "EMR leaves an interface endpoint in the VPC, which costs money even when idle",
        "`status` shows it with its price, `destroy` deletes it; the sweep does not",
        ("decisions/0012-told-and-not-swept.md",
         "unit/cli/test_teardown.py"
         "::test_a_destroyed_stack_leaves_no_cluster_no_network_and_keeps_its_data"),
    ),
    Finding(
        "endpoints are deleted slowly, and a second attempt finds a half-deleted stack",
        "`destroy` waits for them and handles every half-created stack",
        ("unit/cli/test_teardown.py"
         "::test_the_network_is_deleted_only_when_its_endpoints_are_gone",
         "unit/cli/test_teardown.py::test_nothing_is_left_of_an_incomplete_stack"),
    ),
    Finding(
        "a node may lack Python 3.13",
        "a bootstrap action installs it or says what to do",
        ("unit/launcher/test_cluster_request.py::test_a_bootstrap_action_checks_for_the_python_of_the_step",
         "unit/launcher/test_cluster_request.py::test_a_node_without_that_python_says_what_to_do"),
    ),
    Finding(
        "a second deployment without changes fails, so a failed upload cannot be completed",
        "a deployment without changes succeeds",
        ("unit/project/test_deploy.py::test_a_deployment_whose_upload_failed_is_finished_by_the_next",),
    ),
    Finding(
        "a failed first deployment leaves its retained resources behind",
        "they use `RetainExceptOnCreate`",
        ("unit/project/test_template.py"
         "::test_a_failed_first_deployment_leaves_nothing_and_a_deleted_stack_keeps_its_data",),
    ),
    Finding(
        "a stack can replace the account's single log role of API Gateway",
        "it does so only if `AccessLogs` is `set-role`",
        ("unit/project/test_template.py::test_the_accounts_log_role_is_not_changed_unless_requested",),
    ),
    Finding(
        "a late log line recreates a named log group, and the next deployment fails",
        "log groups have no fixed names",
        ("unit/project/test_template.py::test_no_log_group_has_a_fixed_name",),
    ),
    Finding(
        "a new account allows ten concurrent functions, a new table 4,000 write units a second",
        "two concurrent indexers, each as fast as the table allows",
        ("unit/project/test_template.py::test_the_index_is_loaded_by_few_functions_at_once",
         "drills/test_dependencies.py::test_a_new_table_is_loaded_as_fast_as_it_accepts_writes",
         "drills/test_dependencies.py::test_a_table_that_accepts_no_writes_ends_the_attempt"),
    ),
    Finding(
        "Lambda kills a function above its MemorySize, and gives it the matching share of a CPU",
        "the local cloud does the same in every drill on the deployed template",
        ("e2e/test_lambda_limits.py"
         "::test_a_function_has_the_memory_and_the_cpu_that_it_is_given_and_no_more",
         "e2e/test_pipeline.py::test_a_dropped_folder_is_answered_from_exactly_and_handled_once"),
    ),
    Finding(
        "a trailing slash in the address of a page breaks its relative links",
        "the API redirects to the canonical address",
        ("unit/query/test_addresses.py::test_a_page_with_a_trailing_slash_redirects_to_its_address",),
    ),
    Finding(
        "SAM creates a second stage without limits",
        "`OpenApiVersion` is set",
        ("unit/project/test_template.py::test_the_api_has_one_stage_and_its_limits_apply_to_it",),
    ),
    Finding(
        "dashboards are global: stacks with one name in two regions share one",
        "the name of the dashboard contains the region",
        ("unit/project/test_template.py::test_a_stack_in_another_region_has_a_dashboard_of_its_own",),
    ),
    Finding(
        "enabling `RequireApiKey` later does not redeploy the API",
        "every deployment redeploys the API",
        ("unit/project/test_template.py::test_every_deployment_updates_the_api",),
    ),
    Finding(
        "behind a custom domain the path starts with the base path",
        "the path is derived from the resource and its parameters",
        ("unit/query/test_addresses.py::test_all_references_of_the_pages_are_below_their_address",),
    ),
    Finding(
        "about one cluster in a hundred fails to start",
        "a second one, never a third; shown in status, notification and cost",
        ("drills/test_clusters.py::test_a_failed_start_is_retried_once",
         "unit/runs/test_monitor.py::test_a_run_with_two_clusters_costs_the_sum_of_both",
         "e2e/test_operations.py"
         "::test_a_cluster_that_fails_to_start_is_followed_by_a_second_one"),
    ),
    Finding(
        "a cluster with termination protection cannot be terminated",
        "the sweep carries out all other actions, then fails; an alarm reports it",
        ("unit/runs/test_sweeper.py"
         "::test_a_cluster_that_cannot_be_ended_keeps_nothing_else_from_being_done",),
    ),
    Finding(
        "without capacity a cluster waits, and its deadline passes",
        "the deadline starts when the cluster has its nodes; `StartMinutes` limits the start",
        ("unit/runs/test_reconcile.py::test_the_deadline_counts_from_when_the_cluster_had_its_nodes",
         "e2e/test_operations.py"
         "::test_a_cluster_that_never_gets_its_nodes_is_terminated_with_advice",
         "decisions/0012-told-and-not-swept.md"),
    ),
    Finding(
        "steps become CANCELLED before the cluster reports why it ended",
        "CANCELLED does not fail the run",
        ("unit/runs/test_monitor.py"
         "::test_a_cancelled_step_leaves_the_reason_to_the_end_of_its_cluster",),
    ),
    Finding(
        "a stalled connection can outlive its function",
        "every call ends before its function times out",
        ("unit/contracts/test_clients.py::test_a_call_without_a_response_ends_before_its_function",
         "unit/query/test_index_reader.py::test_a_stalled_dynamodb_gives_a_503_in_time"),
    ),
    Finding(
        "one throttled request to EMR delays a message by twelve minutes",
        "the launcher sends a message that tries again within seconds, then less often",
        ("drills/test_dependencies.py::test_throttling_and_lost_responses_of_emr_launch_one_cluster",
         "unit/launcher/test_handler.py"
         "::test_a_throttled_launch_is_tried_again_within_seconds_and_less_often_later"),
    ),
    Finding(
        "BatchGetItem may return a partial result",
        "the returned items are kept, the rest is requested again",
        ("unit/query/test_index_reader.py::test_parts_of_an_answer_are_put_together_whatever_the_parts",
         "unit/query/test_index_reader.py"
         "::test_the_largest_recommendation_works_with_a_megabyte_at_a_time"),
    ),
    Finding(
        "a failed message waits twelve minutes and counts as a function error",
        "it is redelivered within seconds, with longer delays each time",
        ("unit/contracts/test_redelivery.py"
         "::test_a_failed_message_is_redelivered_within_seconds_and_then_with_longer_delays",),
    ),
    Finding(
        "a write during a transaction is rejected, and the SDK does not retry it",
        "the functions retry it",
        ("unit/contracts/test_runs.py::test_a_write_is_retried_while_the_run_is_in_a_transaction",),
    ),
    Finding(
        "S3 dates multipart uploads by their start",
        "the time of the event also counts for the settle delay",
        ("unit/launcher/test_handler.py"
         "::test_a_slow_multipart_upload_counts_from_its_completion",),
    ),
    Finding(
        "S3 denies access while credentials are briefly unavailable; responses get lost",
        "the job retries whole reads and writes for a minute",
        ("drills/test_storage_faults.py::test_a_temporary_loss_of_credentials_is_survived",
         "drills/test_storage_faults.py"
         "::test_a_completed_upload_whose_response_is_lost_is_written_again",
         "drills/test_storage_faults.py::test_a_truncated_file_of_sums_is_refused"),
    ),
]  # fmt: skip

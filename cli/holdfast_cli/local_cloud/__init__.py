"""An AWS account on this machine: no AWS account, no Docker.

`cloud.LocalCloud` starts MiniStack in its own Python environment and deploys the very `template.yaml` into it. The
rules of the template decide who is called, the roles decide what each call may do (IAM is enforced). `bridge` runs
inside that server and writes the CloudTrail record of every changing call, so that a call of anyone reaches the rules
as it does in AWS.

    cloud          the door for tests and the demo
    server         the server process seen from outside
    deploy         SAM template → local stack
    bridge         the server process: MiniStack and the records
    records        the record of a call: who, what, with which result
    wire           which API operation an HTTP request is
    shapes         what CloudTrail writes for its request and its answer
    authorization  what IAM judges a call by, where MiniStack doesn't know it
    contract       what is taken from MiniStack's inside

Linux and macOS. What MiniStack can't do, this can't: no alarm is evaluated, EventBridge doesn't retry a function that
failed, CloudFormation's own work leaves no records, and S3 has no account-level Block Public Access. A condition of the
stack that compares an Fn::Join always finds it different: the output S3VpcOnlyPolicyIs says `on`, whatever is given.

This package imports nothing: the server's environment has only MiniStack in it.
"""

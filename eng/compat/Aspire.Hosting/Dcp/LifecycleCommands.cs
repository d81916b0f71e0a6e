using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting.Dcp;

/// <summary>Start, stop and restart, as the dashboard and tests know them.</summary>
internal static class LifecycleCommands
{
    public static void AddTo(IResource resource, Orchestrator orchestrator)
    {
        Add(KnownResourceCommands.Start, "Start", "Start resource", "Play", IconVariant.Filled, true, context => orchestrator.StartInstanceAsync(context.ResourceName, context.CancellationToken), state =>
            IsBusy(state) ? ResourceCommandState.Disabled : IsStopped(state) || state == KnownResourceStates.Waiting ? ResourceCommandState.Enabled : ResourceCommandState.Hidden);
        Add(KnownResourceCommands.Stop, "Stop", "Stop resource", "Stop", IconVariant.Filled, true, context => orchestrator.StopInstanceAsync(context.ResourceName, context.CancellationToken), state =>
            state == KnownResourceStates.Stopping ? ResourceCommandState.Disabled : IsBusy(state) || IsStopped(state) || state == KnownResourceStates.Waiting ? ResourceCommandState.Hidden : ResourceCommandState.Enabled);
        Add(KnownResourceCommands.Restart, "Restart", "Restart resource", "ArrowCounterclockwise", IconVariant.Regular, false, RestartAsync, state =>
            IsBusy(state) || IsStopped(state) || state == KnownResourceStates.Waiting || state == KnownResourceStates.Stopping ? ResourceCommandState.Disabled : ResourceCommandState.Enabled);

        async Task RestartAsync(ExecuteCommandContext context)
        {
            await orchestrator.StopInstanceAsync(context.ResourceName, context.CancellationToken).ConfigureAwait(false);
            await orchestrator.StartInstanceAsync(context.ResourceName, context.CancellationToken).ConfigureAwait(false);
        }

        void Add(string name, string displayName, string description, string icon, IconVariant variant, bool highlighted, Func<ExecuteCommandContext, Task> execute, Func<string?, ResourceCommandState> state) =>
            resource.Annotations.Add(new ResourceCommandAnnotation(
                name,
                displayName,
                async context =>
                {
                    await execute(context).ConfigureAwait(false);
                    return CommandResults.Success();
                },
                new CommandOptions
                {
                    Description = description,
                    IconName = icon,
                    IconVariant = variant,
                    IsHighlighted = highlighted,
                    UpdateState = context => state(context.ResourceSnapshot.State?.Text),
                }));
    }

    private static bool IsBusy(string? state) => string.IsNullOrEmpty(state) || state == KnownResourceStates.Starting || state == KnownResourceStates.Building || state == KnownResourceStates.RuntimeUnhealthy;

    private static bool IsStopped(string? state) => state is not null && (KnownResourceStates.TerminalStates.Contains(state) || state == KnownResourceStates.NotStarted || state == "Unknown");
}

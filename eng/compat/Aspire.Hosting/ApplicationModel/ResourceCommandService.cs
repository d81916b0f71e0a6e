using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>Runs the commands of resources.</summary>
public class ResourceCommandService
{
    private readonly ResourceNotificationService _notifications;
    private readonly ResourceLoggerService _loggers;
    private readonly IServiceProvider _services;
    private readonly DistributedApplicationModel _model;

    internal ResourceCommandService(ResourceNotificationService notifications, ResourceLoggerService loggers, DistributedApplicationModel model, IServiceProvider services)
    {
        _notifications = notifications;
        _loggers = loggers;
        _model = model;
        _services = services;
    }

    /// <param name="resourceId">An instance, or the name of a resource that has one.</param>
    public Task<ExecuteCommandResult> ExecuteCommandAsync(string resourceId, string commandName, CancellationToken cancellationToken = default)
    {
        if (_notifications.TryGetCurrentState(resourceId, out var instance))
            return ExecuteAsync(instance.Resource, instance.ResourceId, commandName, cancellationToken);
        var resource = _model.Resources.FirstOrDefault(r => string.Equals(r.Name, resourceId, StringComparison.OrdinalIgnoreCase));
        return resource?.GetInstanceNames() switch
        {
            null => Task.FromResult(CommandResults.Failure($"Resource '{resourceId}' not found.")),
            { Count: 1 } names => ExecuteAsync(resource, names[0], commandName, cancellationToken),
            var names => Task.FromResult(CommandResults.Failure($"Resource '{resourceId}' has {names.Count} instances: say which ({string.Join(", ", names)}).")),
        };
    }

    /// <summary>Runs the command on every instance of the resource.</summary>
    public async Task<ExecuteCommandResult> ExecuteCommandAsync(IResource resource, string commandName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(resource);
        var names = resource.GetInstanceNames();
        var results = await Task.WhenAll(names.Select(n => ExecuteAsync(resource, n, commandName, cancellationToken))).ConfigureAwait(false);
        if (results.Length == 1)
            return results[0];
        var failures = results.Zip(names).Where(r => !r.First.Success && !r.First.Canceled).ToList();
        return failures.Count > 0
            ? CommandResults.Failure($"{failures.Count} of {names.Count} instances failed: {string.Join("; ", failures.Select(f => $"{f.Second}: {f.First.Message}"))}")
            : results.FirstOrDefault(r => r.Canceled) ?? CommandResults.Success();
    }

    private async Task<ExecuteCommandResult> ExecuteAsync(IResource resource, string instance, string commandName, CancellationToken cancellationToken)
    {
        var name = KnownResourceCommands.Current(commandName);
        var logger = _loggers.GetLogger(instance);
        if (resource.Annotations.OfType<ResourceCommandAnnotation>().LastOrDefault(c => c.Name == name) is not { } command)
        {
            logger.LogInformation("Command '{Command}' not available for resource '{Instance}'.", commandName, instance);
            return CommandResults.Failure($"Command '{commandName}' not available for resource '{instance}'.");
        }

        try
        {
            logger.LogInformation("Executing command '{Command}'.", name);
            var context = new ExecuteCommandContext { Services = _services, ResourceName = instance, CancellationToken = cancellationToken, Logger = logger };
            var result = await command.ExecuteCommand(context).ConfigureAwait(false);
            if (result is { Success: false, Canceled: false })
                logger.LogError("Command '{Command}' failed: {Message}", name, result.Message);
            return result;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return CommandResults.Canceled();
        }
#pragma warning disable CA1031 // the result says what happened
        catch (Exception e)
#pragma warning restore CA1031
        {
            logger.LogError(e, "Command '{Command}' failed.", name);
            return CommandResults.Failure(e);
        }
    }
}

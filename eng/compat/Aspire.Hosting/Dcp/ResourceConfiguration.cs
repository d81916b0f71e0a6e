using System.Globalization;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dcp;

/// <summary>The environment and arguments that a resource's callbacks make, with every value asked for.</summary>
internal sealed record ResourceConfiguration(IReadOnlyDictionary<string, string> Environment, IReadOnlyList<string> Arguments, IReadOnlySet<string> Secrets)
{
    public static async Task<ResourceConfiguration> EvaluateAsync(IResource resource, DistributedApplicationExecutionContext executionContext, ILogger logger, CancellationToken cancellationToken)
    {
        var context = new EnvironmentCallbackContext(executionContext, resource, cancellationToken: cancellationToken) { Logger = logger };
        foreach (var annotation in resource.Annotations.OfType<EnvironmentCallbackAnnotation>())
            await annotation.Callback(context).ConfigureAwait(false);
        var environment = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in context.EnvironmentVariables)
        {
            if (await ValueAsync(name, value).ConfigureAwait(false) is { } text)
                environment[name] = text;
        }

        var args = new List<object>();
        var argsContext = new CommandLineArgsCallbackContext(args, resource, cancellationToken) { ExecutionContext = executionContext, Logger = logger };
        foreach (var annotation in resource.Annotations.OfType<CommandLineArgsCallbackAnnotation>())
            await annotation.Callback(argsContext).ConfigureAwait(false);
        var arguments = new List<string>();
        foreach (var arg in args)
        {
            if (await ValueAsync("an argument", arg).ConfigureAwait(false) is { } text)
                arguments.Add(text);
        }

        return new ResourceConfiguration(environment, arguments, context.EnvironmentVariables.Where(v => IsSecret(v.Value)).Select(v => v.Key).ToHashSet(StringComparer.Ordinal));

        async Task<string?> ValueAsync(string name, object value)
        {
            try
            {
                return value switch
                {
                    string text => text,
                    IValueProvider provider => await provider.GetValueAsync(cancellationToken).ConfigureAwait(false),
                    IResourceBuilder<IResource> { Resource: IValueProvider provider } => await provider.GetValueAsync(cancellationToken).ConfigureAwait(false),
                    null => null,
                    _ => Convert.ToString(value, CultureInfo.InvariantCulture),
                };
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                throw new DistributedApplicationException($"The value of {name} for '{resource.Name}' is not available: {e.Message}", e);
            }
        }
    }

    private static bool IsSecret(object value) => value switch
    {
        ParameterResource parameter => parameter.Secret,
        ConnectionStringReference or IResourceWithConnectionString => true,
        EndpointReference or EndpointReferenceExpression => false,
        IValueWithReferences { References: var references } => references.Any(IsSecret),
        _ => false,
    };
}

using System.Globalization;
using System.Text.RegularExpressions;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Kubernetes;

/// <summary>A key of a Secret.</summary>
/// <param name="Description">What the value is, for whoever creates the Secret.</param>
/// <param name="IsGenerated">True if any random text will do.</param>
internal sealed record SecretKey(string Secret, string Key, string Description, bool IsGenerated)
{
    public const string ConnectionString = "connection-string";

    public bool IsConnectionString => Key == ConnectionString;

    /// <summary>The environment variable that other values use to include it.</summary>
    public string Variable => Secret.Replace('-', '_').ToUpperInvariant();
}

/// <summary>The public host of a service, which each overlay sets.</summary>
internal sealed record PublicHost(string Service)
{
    /// <summary>The host in <c>base/</c>, which overlays replace.</summary>
    public string Placeholder => $"{Service}.example.com";
}

/// <summary>A value made of text, <see cref="SecretKey"/>s and <see cref="PublicHost"/>s.</summary>
internal sealed record PublishedValue(IReadOnlyList<object> Parts)
{
    public IEnumerable<SecretKey> Secrets => Parts.OfType<SecretKey>();

    public IEnumerable<PublicHost> Hosts => Parts.OfType<PublicHost>();

    /// <summary>The value. Throws if it contains a secret.</summary>
    public string Text => string.Concat(Parts.Select(part => part switch
    {
        PublicHost host => host.Placeholder,
        SecretKey secret => throw new InvalidOperationException($"The value contains the Secret {secret.Secret}."),
        _ => part,
    }));

    /// <summary>The value for a container's <c>env</c> and <c>args</c>, where <c>$(NAME)</c> is the variable NAME and <c>$$</c> is a dollar sign.</summary>
    public string Expandable => string.Concat(Parts.Select(part => part switch
    {
        PublicHost host => host.Placeholder,
        SecretKey secret => $"$({secret.Variable})",
        _ => ((string)part).Replace("$", "$$", StringComparison.Ordinal),
    }));
}

/// <summary>Translates values of the app model, and collects the services and databases that they refer to.</summary>
/// <param name="consumer">The resource that uses the values.</param>
/// <param name="server">A database server in the cluster: its connection strings are composed. All others come from Secrets.</param>
internal sealed partial class ValueTranslator(IResource consumer, PostgresServerResource? server = null)
{
    private readonly SortedDictionary<string, PublishedCall> _calls = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, PublishedConnection> _connections = new(StringComparer.Ordinal);

    public IEnumerable<PublishedCall> Calls => _calls.Values;

    public IEnumerable<PublishedConnection> Connections => _connections.Values;

    /// <param name="name">The variable, for error messages.</param>
    /// <exception cref="DistributedApplicationException">The value can't be expressed in a manifest. The message names consumer and variable but contains no value.</exception>
    public async Task<PublishedValue> TranslateAsync(string name, object? value, CancellationToken cancellationToken)
    {
        var parts = new List<object>();
        await AddAsync(value);
        return new(parts);

        async Task AddAsync(object? value)
        {
            switch (value)
            {
                case null:
                    break;
                case string text:
                    parts.Add(text);
                    break;
                // Before ParameterResource: a connection string parameter is both.
                case IResourceWithConnectionString connection:
                    await AddConnectionAsync(connection);
                    break;
                case ParameterResource parameter when parameter.Secret || parameter.Default is GenerateParameterDefault:
                    parts.Add(new SecretKey(parameter.Name.ToLowerInvariant(), "value", parameter.Description ?? $"the parameter {parameter.Name}", parameter.Default is GenerateParameterDefault));
                    break;
                case ParameterResource parameter:
                    parts.Add(await ValueOfAsync(parameter));
                    break;
                case ConnectionStringReference reference:
                    await AddConnectionAsync(reference.Resource);
                    break;
                case EndpointReference endpoint:
                    AddEndpoint(endpoint, EndpointProperty.Url);
                    break;
                case EndpointReferenceExpression expression:
                    AddEndpoint(expression.Endpoint, expression.Property);
                    break;
                case ReferenceExpression expression:
                    await AddExpressionAsync(expression);
                    break;
                case IResourceBuilder<IResource> builder:
                    await AddAsync(builder.Resource);
                    break;
                case IFormattable or bool:
                    parts.Add(Convert.ToString(value, CultureInfo.InvariantCulture)!);
                    break;
                default:
                    throw Error($"has a value of type {value.GetType().Name}, which can't be expressed in a manifest");
            }
        }

        async Task AddExpressionAsync(ReferenceExpression expression)
        {
            if (expression is { Format: "", ValueProviders: [] } && expression.ValueExpression is not "")
                throw Error("depends on a condition, which can't be expressed in a manifest");

            foreach (Match piece in FormatPiece().Matches(expression.Format))
            {
                if (!piece.Groups["placeholder"].Success)
                {
                    parts.Add(piece.Value.Replace("{{", "{", StringComparison.Ordinal).Replace("}}", "}", StringComparison.Ordinal));
                    continue;
                }

                var index = int.Parse(piece.Groups["placeholder"].ValueSpan, CultureInfo.InvariantCulture);
                var before = parts.Count;
                await AddAsync(expression.ValueProviders[index]);
                if (expression.StringFormats[index] is { } format)
                    Encode(before, format);
            }
        }

        void Encode(int from, string format)
        {
            for (var i = from; i < parts.Count; i++)
            {
                parts[i] = (format, parts[i]) switch
                {
                    ("uri", string text) => Uri.EscapeDataString(text),
                    ("uri", PublicHost host) => host,
                    ("uri", SecretKey secret) => throw Error($"contains the secret '{secret.Secret}' URI-encoded, which Kubernetes can't do"),
                    _ => throw Error($"uses the unknown format '{format}'"),
                };
            }
        }

        async Task<string> ValueOfAsync(ParameterResource parameter)
        {
            try
            {
                return await parameter.GetValueAsync(cancellationToken) ?? "";
            }
            catch (MissingParameterValueException)
            {
                throw Error($"uses the parameter '{parameter.Name}', which has no value: set it in Program.cs or in the environment variable Parameters__{parameter.Name}, or make it a secret");
            }
        }

        async Task AddConnectionAsync(IResourceWithConnectionString resource)
        {
            var owner = (resource as IResourceWithParent)?.Parent ?? resource;
            if (owner == server)
            {
                await AddAsync(resource.ConnectionStringExpression);
                return;
            }

            var secret = resource.Name.ToLowerInvariant();
            if (!_connections.ContainsKey(secret))
            {
                _connections[secret] = owner is PostgresServerResource postgres
                    ? new(secret, owner.Name, PublishedPort.Of(postgres.PrimaryEndpoint).ContainerPort,
                        await new ValueTranslator(consumer, postgres).TranslateAsync(name, resource, cancellationToken))
                    : new(secret, owner.Name.ToLowerInvariant(), Port: null, ConnectionString: null);
            }

            parts.Add(new SecretKey(secret, SecretKey.ConnectionString, $"the connection string of {resource.Name}", IsGenerated: false));
        }

        void AddEndpoint(EndpointReference endpoint, EndpointProperty property)
        {
            if (!endpoint.Exists)
                throw Error($"uses the endpoint '{endpoint.EndpointName}' of '{endpoint.Resource.Name}', which does not exist");
            if (endpoint.Resource is not ProjectResource && endpoint.Resource != server)
                throw Error($"uses an endpoint of '{endpoint.Resource.Name}', which may be outside the cluster: use its connection string");

            var port = PublishedPort.Of(endpoint);
            if (property is EndpointProperty.TargetPort)
            {
                parts.Add($"{port.ContainerPort}");
                return;
            }

            var target = endpoint.Resource;
            // A service's reference to its own external endpoint means its public address.
            if (target == consumer && target != server && port.IsExternal)
                AddAddress(new PublicHost(consumer.Name), "https", 443, property);
            else
                AddAddress(target.Name, port.IsHttp ? "http" : "tcp", port.ServicePort, property);
            if (target != consumer && target != server && property is not (EndpointProperty.Scheme or EndpointProperty.TlsEnabled))
                _calls[$"{target.Name}:{port.ContainerPort}"] = new(target.Name, port.ContainerPort);
        }

        void AddAddress(object host, string scheme, int port, EndpointProperty property) => parts.AddRange(property switch
        {
            EndpointProperty.Url when (scheme, port) is ("http", 80) or ("https", 443) => [$"{scheme}://", host],
            EndpointProperty.Url => [$"{scheme}://", host, $":{port}"],
            EndpointProperty.Host or EndpointProperty.IPV4Host => [host],
            EndpointProperty.HostAndPort => [host, $":{port}"],
            EndpointProperty.Port => [$"{port}"],
            EndpointProperty.Scheme => [scheme],
            EndpointProperty.TlsEnabled => [scheme == "https" ? bool.TrueString : bool.FalseString],
            _ => throw Error($"uses the unknown endpoint property '{property}'"),
        });

        DistributedApplicationException Error(string what) => new($"'{consumer.Name}' can't be published: {name} {what}.");
    }

    /// <summary>A placeholder such as <c>{0}</c>, or text with doubled braces.</summary>
    [GeneratedRegex(@"\{(?<placeholder>[0-9]+)(?:[,:][^}]*)?\}|(?:[^{}]|\{\{|\}\})+", RegexOptions.NonBacktracking)]
    private static partial Regex FormatPiece();
}

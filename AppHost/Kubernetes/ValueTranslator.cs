using System.Globalization;
using System.Text.RegularExpressions;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Kubernetes;

/// <summary>What a Secret holds under a key.</summary>
/// <param name="Description">What it is, for who has to make it.</param>
/// <param name="IsGenerated">Whether any random text does.</param>
internal sealed record SecretKey(string Secret, string Key, string Description, bool IsGenerated)
{
    public const string ConnectionString = "connection-string";

    public bool IsConnectionString => Key == ConnectionString;

    /// <summary>The environment variable that stands for it inside of other values.</summary>
    public string Variable => Secret.Replace('-', '_').ToUpperInvariant();
}

/// <summary>The public host of a service, which an overlay says.</summary>
internal sealed record PublicHost(string Service)
{
    /// <summary>What stands in its place until an overlay says it.</summary>
    public string Placeholder => $"{Service}.example.com";
}

/// <summary>A value: texts, and between them what only a Secret or an overlay knows.</summary>
internal sealed record PublishedValue(IReadOnlyList<object> Parts)
{
    public IEnumerable<SecretKey> Secrets => Parts.OfType<SecretKey>();

    public IEnumerable<PublicHost> Hosts => Parts.OfType<PublicHost>();

    /// <summary>The value, if it takes nothing from a Secret.</summary>
    public string Text => string.Concat(Parts.Select(part => part switch
    {
        PublicHost host => host.Placeholder,
        SecretKey secret => throw new InvalidOperationException($"What the Secret {secret.Secret} holds is not known here."),
        _ => part,
    }));

    /// <summary>The value as the container's <c>env</c> and <c>args</c> take it: <c>$(NAME)</c> for the variable NAME, and <c>$$</c> for a dollar.</summary>
    public string Expandable => string.Concat(Parts.Select(part => part switch
    {
        PublicHost host => host.Placeholder,
        SecretKey secret => $"$({secret.Variable})",
        _ => ((string)part).Replace("$", "$$", StringComparison.Ordinal),
    }));
}

/// <summary>Says the values of the app model in Kubernetes's terms, and keeps which others they lead to.</summary>
/// <param name="consumer">Whose values they are.</param>
/// <param name="server">A database server that is in the cluster: connection strings to it are composed, where others are taken from a Secret.</param>
internal sealed partial class ValueTranslator(IResource consumer, PostgresServerResource? server = null)
{
    private readonly SortedDictionary<string, PublishedCall> _calls = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, PublishedConnection> _connections = new(StringComparer.Ordinal);

    public IEnumerable<PublishedCall> Calls => _calls.Values;

    public IEnumerable<PublishedConnection> Connections => _connections.Values;

    /// <param name="name">The variable, for the message of an error.</param>
    /// <exception cref="DistributedApplicationException">The value has no counterpart in a manifest. The message names consumer and variable, and no value.</exception>
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
                // before the parameters, because one that is a connection string is both
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
                    throw Error($"is a {value.GetType().Name}, which has no counterpart in a manifest");
            }
        }

        async Task AddExpressionAsync(ReferenceExpression expression)
        {
            if (expression is { Format: "", ValueProviders: [] } && expression.ValueExpression is not "")
                throw Error("depends on a condition, which has no counterpart in a manifest");

            foreach (Match piece in FormatPiece().Matches(expression.Format))
            {
                if (!piece.Groups["hole"].Success)
                {
                    parts.Add(piece.Value.Replace("{{", "{", StringComparison.Ordinal).Replace("}}", "}", StringComparison.Ordinal));
                    continue;
                }

                var hole = int.Parse(piece.Groups["hole"].ValueSpan, CultureInfo.InvariantCulture);
                var before = parts.Count;
                await AddAsync(expression.ValueProviders[hole]);
                if (expression.StringFormats[hole] is { } format)
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
                    ("uri", SecretKey secret) => throw Error($"takes the secret '{secret.Secret}' encoded for a URI, which Kubernetes can't do"),
                    _ => throw Error($"takes a part of it in the format '{format}', which is unknown"),
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
                throw Error($"takes the parameter '{parameter.Name}', which has no value: give it one in Program.cs or as the environment variable Parameters__{parameter.Name}, or make it a secret");
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
                throw Error($"takes the endpoint '{endpoint.EndpointName}' of '{endpoint.Resource.Name}', which does not exist");
            if (endpoint.Resource is not ProjectResource && endpoint.Resource != server)
                throw Error($"takes an endpoint of '{endpoint.Resource.Name}', which may be outside of the cluster: take its connection string");

            var port = PublishedPort.Of(endpoint);
            if (property is EndpointProperty.TargetPort)
                parts.Add(Invariant(port.ContainerPort));
            else if (endpoint.Resource == server)
                parts.AddRange(Address(server.Name, port, property));
            else if (endpoint.Resource != consumer)
                AddAddress(endpoint.Resource.Name, port, property);
            else if (!port.IsExternal)
                parts.AddRange(Address(consumer.Name, port, property));
            else
                AddPublicAddress(property);
        }

        void AddAddress(string target, PublishedPort port, EndpointProperty property)
        {
            parts.AddRange(Address(target, port, property));
            if (property is not (EndpointProperty.Scheme or EndpointProperty.TlsEnabled))
                _calls[$"{target}:{port.ContainerPort}"] = new(target, port.ContainerPort);
        }

        // An own external endpoint is where the public finds the service.
        void AddPublicAddress(EndpointProperty property)
        {
            var host = new PublicHost(consumer.Name);
            parts.AddRange(property switch
            {
                EndpointProperty.Url => ["https://", host],
                EndpointProperty.Host or EndpointProperty.IPV4Host => [host],
                EndpointProperty.HostAndPort => [host, ":443"],
                EndpointProperty.Port => ["443"],
                EndpointProperty.Scheme => ["https"],
                EndpointProperty.TlsEnabled => [bool.TrueString],
                _ => throw Error($"takes the property '{property}' of an endpoint, which is unknown"),
            });
        }

        IEnumerable<object> Address(string host, PublishedPort port, EndpointProperty property) => property switch
        {
            EndpointProperty.Url => [port is { IsHttp: true, ServicePort: 80 } ? $"http://{host}" : $"{(port.IsHttp ? "http" : "tcp")}://{host}:{port.ServicePort}"],
            EndpointProperty.Host or EndpointProperty.IPV4Host => [host],
            EndpointProperty.HostAndPort => [$"{host}:{port.ServicePort}"],
            EndpointProperty.Port => [Invariant(port.ServicePort)],
            EndpointProperty.Scheme => [port.IsHttp ? "http" : "tcp"],
            EndpointProperty.TlsEnabled => [bool.FalseString],
            _ => throw Error($"takes the property '{property}' of an endpoint, which is unknown"),
        };

        DistributedApplicationException Error(string what) => new($"'{consumer.Name}' can't be published: {name} {what}.");
    }

    private static string Invariant(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>A text, with its braces doubled, or a hole.</summary>
    [GeneratedRegex(@"\{(?<hole>[0-9]+)(?:[,:][^}]*)?\}|(?:[^{}]|\{\{|\}\})+", RegexOptions.NonBacktracking)]
    private static partial Regex FormatPiece();
}

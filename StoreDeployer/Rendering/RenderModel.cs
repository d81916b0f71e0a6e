using System.Collections;
using HandlebarsDotNet;
using HandlebarsDotNet.Compiler;
using HandlebarsDotNet.Iterators;
using HandlebarsDotNet.MemberAccessors;
using HandlebarsDotNet.ObjectDescriptors;
using HandlebarsDotNet.PathStructure;

namespace Platform.StoreDeployer.Rendering;

/// <summary>An object that templates can read: only its keys are visible.</summary>
internal sealed class ModelObject : Dictionary<string, object?>
{
    public ModelObject() : base(StringComparer.Ordinal)
    {
    }

    public ModelObject(ModelObject other) : base(other, StringComparer.Ordinal)
    {
    }
}

/// <summary>A list that templates can read: its items, and <c>length</c>.</summary>
internal sealed class ModelList(IEnumerable<object?> items) : List<object?>(items);

/// <summary>
/// Restricts templates to <see cref="ModelObject"/> and <see cref="ModelList"/>. By default Handlebars.Net reads the public members of any .NET object by
/// reflection.
/// </summary>
internal sealed class ModelDescriptors(Func<RenderScope> scope) : IObjectDescriptorProvider
{
    public bool TryGetDescriptor(Type type, out ObjectDescriptor value)
    {
        value = type == typeof(ModelObject)
            ? new ObjectDescriptor(type, new ObjectMembers(), (_, o) => ((ModelObject)o).Keys,
                _ => new LimitedIterator(new DictionaryIterator<ModelObject, string, object?>(), scope))
            : type == typeof(ModelList)
                ? new ObjectDescriptor(type, new ListMembers(), (_, _) => Array.Empty<object>(),
                    _ => new LimitedIterator(new ListIterator<ModelList, object?>(), scope))
                : new ObjectDescriptor(type, new NoMembers(), (_, _) => Array.Empty<object>(), _ => new NoIterator());
        return true;
    }

    private sealed class ObjectMembers : IMemberAccessor
    {
        public bool TryGetValue(object instance, ChainSegment memberName, out object? value) =>
            ((ModelObject)instance).TryGetValue(memberName.TrimmedValue, out value);
    }

    private sealed class ListMembers : IMemberAccessor
    {
        public bool TryGetValue(object instance, ChainSegment memberName, out object? value)
        {
            value = memberName.TrimmedValue == "length" ? ((ModelList)instance).Count : null;
            return value is not null;
        }
    }

    private sealed class NoMembers : IMemberAccessor
    {
        public bool TryGetValue(object instance, ChainSegment memberName, out object? value)
        {
            value = null;
            return false;
        }
    }

    private sealed class NoIterator : IIterator
    {
        public void Iterate(in EncodedTextWriter writer, BindingContext context, ChainSegment[] blockParamsVariables, object input,
            TemplateDelegate template, TemplateDelegate ifEmpty) => ifEmpty(writer, context);
    }

    private sealed class LimitedIterator(IIterator inner, Func<RenderScope> scope) : IIterator
    {
        public void Iterate(in EncodedTextWriter writer, BindingContext context, ChainSegment[] blockParamsVariables, object input,
            TemplateDelegate template, TemplateDelegate ifEmpty)
        {
            var current = scope();
            inner.Iterate(writer, context, blockParamsVariables, input,
                (output, item) =>
                {
                    current.Iterate();
                    template(output, item);
                },
                ifEmpty);
        }
    }
}
